// What the matrix products for many tokens are passed, and their launchers.
#ifndef CC_KERNELS_CUDA_GEMM_PARAMS_H_
#define CC_KERNELS_CUDA_GEMM_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cc/kernels/cuda/matrix.h"

namespace gemma::cuda {

inline constexpr int kMaxGemmParts = 4;
// Weights are multiplied as the float16 of kWeightScale times their value, so that small ones stay
// normal numbers; a power of two, and therefore exact.
inline constexpr float kWeightScale = 256;

struct GemmPart {
  Matrix first;          // [rows, columns]
  Matrix second;         // gated: up, of the same shape
  void* out = nullptr;   // [tokens, rows]
};

struct GemmParams {
  GemmPart parts[kMaxGemmParts];
  int32_t part_count = 0;
  int32_t columns = 0;
  int32_t tokens = 0;
  bool gated = false;            // out = gelu(first) * second
  bool half_out = false;         // float16 with kActivationScale, else float32
  float softcap = 0;             // out = softcap * tanh(out / softcap) where > 0
  const uint16_t* in = nullptr;  // float16 with kActivationScale, [tokens, columns]
};

struct GemmLaunch {
  bool overlap = false;
  cudaStream_t stream = nullptr;
};

// Any shape and layout on any GPU, by mma.sync: for what the Hopper kernel does not take.
cudaError_t LaunchGemmAnyShape(const GemmParams&, const GemmLaunch&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_PARAMS_H_
