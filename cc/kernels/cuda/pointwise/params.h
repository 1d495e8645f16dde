// Operands of the operations that touch each number once, and their launchers.
#ifndef CC_KERNELS_CUDA_POINTWISE_PARAMS_H_
#define CC_KERNELS_CUDA_POINTWISE_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/cuda/device/launch_options.h"
#include "cc/kernels/cuda/device/matrix.h"
#include "cc/kernels/cuda/device/number.h"

namespace gemma::cuda {

// A buffer of activations. Only outputs are pairs.
struct Activations {
  void* data = nullptr;
  Number number = Number::kFloat32;
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

// Threads of a row, and pieces of four columns that each keeps in registers.
inline constexpr int kNormThreads = 512;
inline constexpr int kUsualNormPieces = 3;
inline constexpr int kMaxNormPieces = 12;
constexpr int NormColumns(int pieces) { return 4 * kNormThreads * pieces; }

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

cudaError_t LaunchNorm(const NormParams&, const LaunchOptions&);
cudaError_t LaunchEmbed(const EmbedParams&, const LaunchOptions&);
cudaError_t LaunchPointwise(const PointwiseParams&, const LaunchOptions&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_POINTWISE_PARAMS_H_
