#include "cc/kernels/cuda/runtime/machine_code.h"

#include "cc/kernels/cuda/device/language.h"

namespace gemma::cuda {

#ifdef GEMMA_CUDA_EMULATION

cudaError_t CheckMachineCode() { return cudaSuccess; }

#else

namespace {

// All kernels are compiled for the same GPUs, so this one speaks for them.
__global__ void EmptyKernel() {}

}  // namespace

cudaError_t CheckMachineCode() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, EmptyKernel);
}

#endif

}  // namespace gemma::cuda
