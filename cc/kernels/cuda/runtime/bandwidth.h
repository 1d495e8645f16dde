// How fast this GPU reads its own memory.
#ifndef CC_KERNELS_CUDA_RUNTIME_BANDWIDTH_H_
#define CC_KERNELS_CUDA_RUNTIME_BANDWIDTH_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace gemma::cuda {

// sum += all 32-bit words of `bytes` bytes (a multiple of 16) from `from` on, so that none is left
// unread. Enough blocks for `multiprocessors`.
cudaError_t LaunchReadAll(const void* from, size_t bytes, int multiprocessors, uint32_t* sum,
                          cudaStream_t stream);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_BANDWIDTH_H_
