// out = in * transpose(weight) for any number of tokens, with gelu(gate) * up or a softcap fused
// in: the products of prompts. RunProduct (product/product.h) chooses between this and matvec/.
#ifndef CC_KERNELS_CUDA_GEMM_GEMM_H_
#define CC_KERNELS_CUDA_GEMM_GEMM_H_

#include <vector>

#include "absl/status/status.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/runtime/operands.h"

namespace gemma::cuda {

// Weights enter as float16, rounded once from their exact value; sums are float32. A weight beyond
// +-255 becomes infinite, and so its outputs NaN.
// InvalidArgument for what CheckProduct refuses, a norm, or less scratch memory than GemmRegions.
absl::Status RunGemm(const Product& op, const Context& context);

// Scratch memory that RunGemm needs, for calls of any size.
Regions GemmRegions(const Device& device);

// The kernel of each output, for tests and benchmarks: "gemm Hopper", "gemm Ampere" (every other GPU),
// or "gemm any shape".
std::vector<PlannedLaunch> PlanGemm(const Product& op, const Device& device);

// Whether no output takes the fallback.
bool HasTileGemm(const Product& op, const Device& device);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_GEMM_H_
