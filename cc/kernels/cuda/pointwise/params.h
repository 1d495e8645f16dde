// Operands of the operations that touch each number once, and their launchers.
#ifndef CC_KERNELS_CUDA_POINTWISE_PARAMS_H_
#define CC_KERNELS_CUDA_POINTWISE_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/cuda/device/matrix.h"

namespace gemma::cuda {

// A buffer of activations, float32, float16 or pairs of float16 (activation.h). Only outputs are
// pairs.
struct Activations {
  void* data = nullptr;
  bool half = false;
  bool paired = false;  // pairs, where half
};

// x_out = (x + branch / rms(branch) * branch_weight) * scalar;  out = x_out / rms(x_out) * weight,
// over rows of `columns`. Any of the two halves may be absent. All weights are float32; a null
// weight is ones.
struct NormParams {
  const float* x = nullptr;  // [rows, columns]; null: zeros
  Activations branch;        // [rows, columns]; null data: x_out = x
  const float* branch_weight = nullptr;
  const float* scalar = nullptr;  // one number; null: 1
  float* x_out = nullptr;         // may be x; null: not kept
  const float* weight = nullptr;
  Activations out;  // null data: only x_out
  int64_t rows = 0;
  int32_t columns = 0;
  float epsilon = 0;
};

struct EmbedParams {
  Matrix weight;                 // [vocab, columns]
  const int64_t* ids = nullptr;  // [tokens], each in [0, vocab)
  int64_t tokens = 0;
  float scale = 1;
  float* out = nullptr;  // [tokens, columns]
};

enum class Pointwise { kGatedGelu, kAdd, kSoftcap };

// out[i] = gelu(a[i]) * b[i],  a[i] + b[i]  or  cap * tanh(a[i] / cap). `out` may be an input.
struct PointwiseParams {
  Pointwise operation = Pointwise::kAdd;
  Activations a;
  Activations b;
  Activations out;
  int64_t size = 0;
  int64_t columns = 0;  // of a row, where `out` is pairs
  float cap = 0;
};

cudaError_t LaunchNorm(const NormParams&, bool overlap, cudaStream_t stream);
cudaError_t LaunchEmbed(const EmbedParams&, bool overlap, cudaStream_t stream);
cudaError_t LaunchPointwise(const PointwiseParams&, bool overlap, cudaStream_t stream);

// The whole weight, to the last bit what docs/formats.md defines. out: [rows, columns]
cudaError_t LaunchDequantize(const Matrix&, float* out, cudaStream_t stream);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_POINTWISE_PARAMS_H_
