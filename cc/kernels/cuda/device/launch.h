// Launches a kernel, for kernel sources.
#ifndef CC_KERNELS_CUDA_DEVICE_LAUNCH_H_
#define CC_KERNELS_CUDA_DEVICE_LAUNCH_H_

#include <utility>

#include "cc/kernels/cuda/device/language.h"
#include "cc/kernels/cuda/device/launch_options.h"

namespace gemma::cuda {

struct LaunchShape {
  dim3 grid;
  int threads = 0;
  size_t shared_bytes = 0;
  LaunchOptions options;
};

// Shared memory of blocks that need `bytes` and share a multiprocessor with no other of their kind.
inline size_t Exclusive(int64_t bytes, const LaunchOptions& options) {
  const size_t needed = static_cast<size_t>(bytes);
  return needed < options.exclusive_bytes ? options.exclusive_bytes : needed;
}

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
  config.stream = shape.options.stream;
  config.attrs = &attribute;
  config.numAttrs = shape.options.overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...);
#endif
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_LAUNCH_H_
