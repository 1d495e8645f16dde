// Weights in host memory.
#ifndef CC_WEIGHTS_HOST_WEIGHT_MEMORY_H_
#define CC_WEIGHTS_HOST_WEIGHT_MEMORY_H_

#include <memory>

#include "cc/weights/weight_memory.h"

namespace gemma {

class HostWeightMemory final : public WeightMemory {
 public:
  absl::StatusOr<std::unique_ptr<WeightBlock>> Take(uint64_t bytes) override;
  absl::Status Finish() override { return absl::OkStatus(); }
};

}  // namespace gemma

#endif  // CC_WEIGHTS_HOST_WEIGHT_MEMORY_H_
