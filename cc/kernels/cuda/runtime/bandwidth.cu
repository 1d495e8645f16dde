// Reads memory and does nothing else.
#include "cc/kernels/cuda/runtime/bandwidth.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kBlocksAMultiprocessor = 4;
constexpr int kInFlight = 8;  // loads of a thread

__global__ void __launch_bounds__(kThreads)
    ReadAllKernel(const uint4* from, size_t count, uint32_t* sum) {
  const size_t stride = static_cast<size_t>(gridDim.x) * kThreads;
  size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  uint32_t mine = 0;
  for (; i + (kInFlight - 1) * stride < count; i += kInFlight * stride) {
    uint4 loaded[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) loaded[k] = from[i + k * stride];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k)
      mine += loaded[k].x + loaded[k].y + loaded[k].z + loaded[k].w;
  }
  for (; i < count; i += stride) mine += from[i].x + from[i].y + from[i].z + from[i].w;
  atomicAdd(sum, mine);
}

}  // namespace

cudaError_t LaunchReadAll(const void* from, size_t bytes, int multiprocessors, uint32_t* sum,
                          cudaStream_t stream) {
  const LaunchShape shape{dim3(static_cast<unsigned>(kBlocksAMultiprocessor * multiprocessors)),
                          kThreads, 0, false, stream};
  return Launch(ReadAllKernel, shape, static_cast<const uint4*>(from), bytes / sizeof(uint4), sum);
}

}  // namespace gemma::cuda
