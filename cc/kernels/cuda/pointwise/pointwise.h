// Norms, embedding, and the operations that touch each
// number once (params.h says what they compute).
#ifndef CC_KERNELS_CUDA_POINTWISE_POINTWISE_H_
#define CC_KERNELS_CUDA_POINTWISE_POINTWISE_H_

#include "absl/status/status.h"
#include "cc/kernels/cuda/pointwise/params.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

// InvalidArgument for columns that are no multiple of 4 or too many for shared memory.
absl::Status RunNorm(const NormParams& op, const Context& context);

// op.weight is made from `weight`, whose bytes are in device memory.
absl::Status RunEmbed(const WeightView& weight, EmbedParams op, const Context& context);

absl::Status RunPointwise(const PointwiseParams& op, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_POINTWISE_POINTWISE_H_
