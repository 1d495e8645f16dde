// out = in * transpose(weight) for any number of tokens, with gelu(gate) * up or a softcap fused
// in: the products of prompts. matvec.h is faster for 1 to 8 tokens.
#ifndef CC_KERNELS_CUDA_GEMM_GEMM_H_
#define CC_KERNELS_CUDA_GEMM_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/gemm/params.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

struct Gemm {
  struct Output {
    WeightView weight;    // [rows, columns] in device memory (matrix_from.h)
    void* out = nullptr;  // [tokens, rows], aligned to 16 bytes
  };

  int64_t tokens = 0;
  bool paired = false;  // `in`, and `out` if it is float16, are pairs (activation.h)
  // float16 with kActivationScale (activation.h), [tokens, columns], aligned to 16 bytes.
  const uint16_t* in = nullptr;
  std::vector<Output> outputs;  // projections that share the input: at most kMaxGemmParts
  // gated: outputs holds gate and up, and the first one's `out` gets gelu(gate) * up.
  bool gated = false;
  bool half_out = false;  // `out` is float16 with kActivationScale, else float32
  float softcap = 0;      // out = softcap * tanh(out / softcap) where > 0
};

// Weights enter as float16, rounded once from their exact value; sums are float32. A weight beyond
// +-255 becomes infinite, and so its outputs NaN.
// InvalidArgument for more outputs than stated, weights that cannot share an input, or less scratch
// memory than GemmRegions.
absl::Status RunGemm(const Gemm& op, const Context& context);

// Scratch memory that RunGemm needs, for calls of any size.
Regions GemmRegions(const Device& device);

// Which kernel RunGemm launches for an output: "any shape", or "Hopper" and the layout.
absl::string_view GemmKernelName(const Gemm& op, size_t output, const Device& device);

// Whether all outputs take a kernel for Hopper's tensor cores, not the one for any shape.
bool IsHopperGemm(const Gemm& op, const Device& device);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_GEMM_H_
