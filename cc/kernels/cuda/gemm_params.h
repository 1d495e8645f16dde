// What the matrix products for many tokens are passed, and their launchers.
#ifndef CC_KERNELS_CUDA_GEMM_PARAMS_H_
#define CC_KERNELS_CUDA_GEMM_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/cuda/matrix.h"

namespace gemma::cuda {

struct GemmParams {
  Matrix first;                  // [rows, columns]
  Matrix second;                 // gated: up, of the same shape and layout
  bool gated = false;            // out = gelu(first) * second
  const uint16_t* in = nullptr;  // bfloat16 [tokens, columns]
  int32_t tokens = 0;
  void* out = nullptr;  // [tokens, rows], bfloat16 or float32
  bool bf16_out = true;
  float softcap = 0;  // out = softcap * tanh(out / softcap) where > 0
};

struct GemmLaunch {
  int multiprocessors = 0;
  cudaStream_t stream = nullptr;
};

// Any shape and layout on any GPU, by mma.sync: for what the Hopper kernel does not take.
cudaError_t LaunchGemmAnyShape(const GemmParams&, const GemmLaunch&);

// Compute capability 9.0. True when there is a kernel for the layout and every plane's rows are
// aligned for it.
bool HasGemmSm90(const GemmParams&);
cudaError_t LaunchGemmSm90(const GemmParams&, const GemmLaunch&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_PARAMS_H_
