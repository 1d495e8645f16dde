// What a matrix product computes: the operands of RunProduct (product/product.h) and of the kernels
// that it chooses from.
#ifndef CC_KERNELS_CUDA_RUNTIME_OPERANDS_H_
#define CC_KERNELS_CUDA_RUNTIME_OPERANDS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/cuda/device/fused_norm.h"
#include "cc/kernels/cuda/device/number.h"
#include "cc/kernels/cuda/device/prefetch.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

// out = in * transpose(weight), with what surrounds it in a decoder fused in.
struct Product {
  struct Output {
    WeightView weight;    // [rows, columns] in device memory (device/matrix_from.h)
    void* out = nullptr;  // [tokens, rows] of out_number, aligned to 16 bytes
  };

  int64_t tokens = 0;
  // [tokens, columns], float16 or pairs, aligned to 16 bytes; null with a norm.
  const uint16_t* in = nullptr;
  Number in_number = Number::kFloat16;
  // Where x is not null: the input is computed from the residual stream. One token; see
  // CanFuseNorm.
  FusedNorm norm;
  std::vector<Output> outputs;  // projections that share the input: at most kMaxProductOutputs
  // Float32, or the same as in_number.
  Number out_number = Number::kFloat32;
  // gated: outputs holds gate and up, and the first one's `out` gets gelu(gate) * up.
  bool gated = false;
  float softcap = 0;  // out = softcap * tanh(out / softcap) where > 0
  // What the next operation of the stream reads first.
  Prefetch prefetch;

  // Rows of the input: a token's pairs are two.
  int64_t rows() const { return tokens * RowsOf(in_number); }
};

inline constexpr int kMaxProductOutputs = 4;

// InvalidArgument for weights that cannot share an input, and for what is said above; the sentence
// begins with `who`.
absl::Status CheckProduct(absl::string_view who, const Product& op);

// For the operation before `next`: the first rows of each of its weights. Only outputs[i].weight
// and gated are read.
Prefetch FirstWeightsOf(const Product& next);

// One launch can serve both.
inline bool SameKind(const WeightShape& a, const WeightShape& b) {
  return a.layout == b.layout && a.group == b.group;
}

// A kernel that a product takes for some of its outputs.
struct PlannedLaunch {
  absl::string_view kernel;
  size_t shared_bytes = 0;  // of a block
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_OPERANDS_H_
