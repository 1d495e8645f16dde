// Norms, embedding, and the operations that touch each number once (pointwise_params.h says what
// they compute).
#ifndef CC_KERNELS_CUDA_POINTWISE_H_
#define CC_KERNELS_CUDA_POINTWISE_H_

#include "absl/status/status.h"
#include "cc/kernels/cuda/context.h"
#include "cc/kernels/cuda/pointwise_params.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

// InvalidArgument for columns that are no multiple of 4 or too many for shared memory.
absl::Status RunNorm(const NormParams& op, const Context& context);

// op.weight is made from `weight`, whose bytes are in device memory.
absl::Status RunEmbed(const WeightView& weight, EmbedParams op, const Context& context);

absl::Status RunPointwise(const PointwiseParams& op, const Context& context);

absl::Status RunDequantize(const WeightView& weight, float* out, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_POINTWISE_H_
