// Weights in GPU memory. Pieces go there through pinned host memory: while some are copied to the
// device, others are read by as many threads as the source has.
#ifndef CC_EXECUTOR_CUDA_WEIGHT_MEMORY_H_
#define CC_EXECUTOR_CUDA_WEIGHT_MEMORY_H_

#include <memory>

#include "cc/kernels/cuda/runtime/device.h"
#include "cc/weights/weight_memory.h"

namespace gemma {

class CudaWeightMemory final : public WeightMemory {
 public:
  explicit CudaWeightMemory(cuda::Stream stream) : stream_(stream) {}
  absl::StatusOr<std::unique_ptr<WeightBlock>> Take(uint64_t bytes) override;
  absl::Status Finish() override;

 private:
  const cuda::Stream stream_;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_WEIGHT_MEMORY_H_
