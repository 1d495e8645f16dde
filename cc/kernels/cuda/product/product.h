// Runs a matrix product with the kernel that suits the number of tokens, the shapes and the GPU:
// the one place that chooses.
#ifndef CC_KERNELS_CUDA_PRODUCT_PRODUCT_H_
#define CC_KERNELS_CUDA_PRODUCT_PRODUCT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cc/kernels/cuda/matvec/matvec.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/runtime/operands.h"

namespace gemma::cuda {

// Any shape, layout and number of tokens, on any GPU that FindDevice accepts: where a block's
// shared memory is too small for one kernel, another one is taken. InvalidArgument for what
// CheckProduct (runtime/operands.h) refuses, or a norm that CanFuseNorm (matvec/matvec.h) refuses.
absl::Status RunProduct(const Product& op, const Context& context);

// The launches of RunProduct, for tests and benchmarks.
std::vector<PlannedLaunch> PlanProduct(const Product& op, const Device& device);

// Scratch memory for products of up to `tokens` tokens.
Regions ProductRegions(const Device& device, int64_t tokens);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_PRODUCT_PRODUCT_H_
