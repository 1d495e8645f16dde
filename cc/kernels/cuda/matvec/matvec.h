// out = in * transpose(weight) for 1 to 8 rows of input,
// bound by reading the weights once, with what surrounds it in a decoder fused in.
// RunProduct (product/product.h) chooses between this and gemm/.
#ifndef CC_KERNELS_CUDA_MATVEC_MATVEC_H_
#define CC_KERNELS_CUDA_MATVEC_MATVEC_H_

#include <vector>

#include "absl/status/status.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/runtime/operands.h"

namespace gemma::cuda {

// Scratch memory that RunMatvec needs.
Regions MatvecRegions(const Device& device);

// True when RunMatvec can compute a norm into this product: 1 token, and tiles for a width whose
// norm fits registers and whose input fits shared memory whole.
bool CanFuseNorm(const Product& op, const Device& device);

// False where some output would take the fallback only because its input and a ring of weights do
// not fit a block's shared memory together.
bool MatvecFits(const Product& op, const Device& device);

// True where all outputs are as fast as their weights can be read (stream.cu).
bool MatvecStreams(const Product& op, const Device& device);

// The launches of RunMatvec, for tests.
std::vector<PlannedLaunch> PlanMatvec(const Product& op, const Device& device);

// InvalidArgument for more than kMaxDecodeTokens rows, what CheckProduct refuses, or a norm that
// CanFuseNorm refuses.
absl::Status RunMatvec(const Product& op, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_MATVEC_H_
