// Sums over the threads of a block.
#ifndef CC_KERNELS_CUDA_DEVICE_BLOCK_SUM_H_
#define CC_KERNELS_CUDA_DEVICE_BLOCK_SUM_H_

#include "cc/kernels/cuda/device/barrier.h"
#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

inline constexpr int kInputBarrier = 1;  // of the threads that prepare an input, if not all do

// The sum over the threads of the block, or over its first kThreads alone, in an order that does
// not depend on the thread.
template <int kThreads, bool kAll = true>
GEMMA_DEVICE float BlockSum(float value, float* scratch) {
  auto sync = [] {
    if constexpr (kAll) {
      __syncthreads();
    } else {
      MeetThreads(kInputBarrier, kThreads);
    }
  };
  value = WarpSum(value);
  sync();
  if (Lane() == 0) scratch[WarpIndex()] = value;
  sync();
  float sum = 0;
  for (int i = 0; i < kThreads / kWarp; ++i) sum += scratch[i];
  return sum;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_BLOCK_SUM_H_
