// What every kernel call needs beside its operands:
// the GPU, a stream, and a stream's scratch memory.
#ifndef CC_KERNELS_CUDA_RUNTIME_CONTEXT_H_
#define CC_KERNELS_CUDA_RUNTIME_CONTEXT_H_

#include "cc/kernels/cuda/device/launch_options.h"
#include "cc/kernels/cuda/runtime/device.h"
#include "cc/kernels/cuda/runtime/workspace.h"

namespace gemma::cuda {

struct Context {
  Device device;
  Stream stream = nullptr;
  Workspace* workspace = nullptr;
  // Let each kernel start while the one before it ends (programmatic dependent launch, compute
  // capability 9.0): it fills its shared memory with weights meanwhile. Every kernel of the stream
  // must then be one of this folder.
  bool overlap = false;

  LaunchOptions launch() const { return {overlap, stream, ExclusiveSharedBytes(device)}; }
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_CONTEXT_H_
