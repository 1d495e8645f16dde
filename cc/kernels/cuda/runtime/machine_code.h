// Which of the program's kernels run on a GPU.
#ifndef CC_KERNELS_CUDA_RUNTIME_MACHINE_CODE_H_
#define CC_KERNELS_CUDA_RUNTIME_MACHINE_CODE_H_

#include <cuda_runtime_api.h>

namespace gemma::cuda {

// The major compute capability that the kernels were compiled for which run on the current GPU:
// less than the GPU's own where its driver compiles them from PTX of an older one.
// cudaErrorNoKernelImageForDevice where the program has none.
cudaError_t FindMachineCode(int& major);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_MACHINE_CODE_H_
