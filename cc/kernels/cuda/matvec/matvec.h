// out = in * transpose(weight) for 1 to 8 tokens, with what surrounds it in a decoder fused in.
#ifndef CC_KERNELS_CUDA_MATVEC_MATVEC_H_
#define CC_KERNELS_CUDA_MATVEC_MATVEC_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/matvec/params.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

struct Matvec {
  struct Output {
    WeightView weight;    // [rows, columns] in device memory (matrix_from.h)
    void* out = nullptr;  // [tokens, rows]
  };

  int64_t tokens = 0;   // 1 to kMaxMatvecTokens, to half of that where paired
  bool paired = false;  // `in`, and `out` if it is float16, are pairs (activation.h)
  const uint16_t* in =
      nullptr;     // float16 (activation.h) [tokens, columns], aligned to 8 bytes; null with a norm
  FusedNorm norm;  // where x is not null: the input is computed from the residual stream (1 token)
  std::vector<Output> outputs;  // projections that share the input: at most kMaxMatvecParts
  // gated: outputs holds gate and up, and the first one's `out` gets gelu(gate) * up.
  bool gated = false;
  bool half_out = false;  // `out` is float16 (activation.h), else float32
  float softcap = 0;      // out = softcap * tanh(out / softcap) where > 0
  // The product that follows in the stream, if it is known: its weights are brought near. Read
  // during the call alone; of it, only the outputs' weights and `gated` count.
  const Matvec* next = nullptr;
};

// Scratch memory that RunMatvec needs.
Regions MatvecRegions(const Device& device);

// True when RunMatvec can compute a norm into this product: 1 token, a width that fits and shapes
// with their own kernel. The input is paired or not as `paired` says.
bool CanFuseNorm(const Matvec& op);

// InvalidArgument for more tokens, outputs or columns than stated, or a norm that CanFuseNorm
// refuses.
absl::Status RunMatvec(const Matvec& op, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_MATVEC_H_
