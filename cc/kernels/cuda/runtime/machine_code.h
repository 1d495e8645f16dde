// Whether this program can run on a GPU at all.
#ifndef CC_KERNELS_CUDA_RUNTIME_MACHINE_CODE_H_
#define CC_KERNELS_CUDA_RUNTIME_MACHINE_CODE_H_

#include <cuda_runtime_api.h>

namespace gemma::cuda {

// cudaErrorNoKernelImageForDevice where the program has no machine code for the current GPU.
cudaError_t CheckMachineCode();

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_MACHINE_CODE_H_
