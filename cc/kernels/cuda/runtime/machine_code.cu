#include "cc/kernels/cuda/device/language.h"
#include "cc/kernels/cuda/runtime/machine_code.h"

namespace gemma::cuda {

#ifdef GEMMA_CUDA_EMULATION

cudaError_t FindMachineCode(int&) { return cudaErrorNoKernelImageForDevice; }

#else

namespace {

// All kernels are compiled for the same GPUs, so this one speaks for them.
__global__ void EmptyKernel() {}

}  // namespace

cudaError_t FindMachineCode(int& major) {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, EmptyKernel);
  if (error == cudaSuccess) major = attributes.ptxVersion / 10;
  return error;
}

#endif

}  // namespace gemma::cuda
