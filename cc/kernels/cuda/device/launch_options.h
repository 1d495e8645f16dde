// How every kernel is launched, whatever it computes.
#ifndef CC_KERNELS_CUDA_DEVICE_LAUNCH_OPTIONS_H_
#define CC_KERNELS_CUDA_DEVICE_LAUNCH_OPTIONS_H_

#include <cuda_runtime_api.h>

#include <cstddef>

namespace gemma::cuda {

struct LaunchOptions {
  // Programmatic dependent launch: the kernel may start before the one ahead of it in the stream
  // has ended, so it must call WaitForPreviousKernel before it touches anything that an earlier
  // kernel of the stream writes or reads.
  bool overlap = false;
  cudaStream_t stream = nullptr;
  // A block that asks for so much shared memory shares
  // its multiprocessor with no other of its kind.
  size_t exclusive_bytes = 0;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_LAUNCH_OPTIONS_H_
