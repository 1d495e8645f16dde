// Launches a kernel, for kernel sources.
#ifndef CC_KERNELS_CUDA_DEVICE_LAUNCH_H_
#define CC_KERNELS_CUDA_DEVICE_LAUNCH_H_

#include <utility>

#include "cc/kernels/cuda/device/language.h"

namespace gemma::cuda {

struct LaunchShape {
  dim3 grid;
  int threads = 0;
  size_t shared_bytes = 0;
  // Programmatic dependent launch: the kernel may start before the one ahead of it in the stream
  // has ended, so it must call WaitForPreviousKernel before it touches anything that an earlier
  // kernel of the stream writes or reads.
  bool overlap = false;
  cudaStream_t stream = nullptr;
};

// More than half of a multiprocessor's shared memory (228 KB, each block takes 1 KB more than it
// asks for): a block that asks for so much shares it with no other of its kind. Smaller GPUs have
// less, and fewer of these blocks fit anyway.
inline constexpr size_t kExclusiveSharedBytes = 114 << 10;

template <typename... Params, typename... Args>
cudaError_t Launch(void (*kernel)(Params...), const LaunchShape& shape, Args&&... args) {
#ifdef GEMMA_CUDA_EMULATION
  return emulation::Launch(shape.grid, dim3(static_cast<unsigned>(shape.threads)),
                           shape.shared_bytes, [=] { kernel(args...); });
#else
  // All kernels ask for the same split between L1 and shared memory: a multiprocessor cannot run
  // blocks of two kernels at once when they differ, and overlapping kernels are the point.
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                           cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess) return error;
  constexpr size_t kDefaultLimit = 48 << 10;
  if (shape.shared_bytes > kDefaultLimit) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shape.shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  config.attrs = &attribute;
  config.numAttrs = shape.overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...);
#endif
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_LAUNCH_H_
