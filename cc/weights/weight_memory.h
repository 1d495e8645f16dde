// Where a model's weights live: host memory, or a device's.
#ifndef CC_WEIGHTS_WEIGHT_MEMORY_H_
#define CC_WEIGHTS_WEIGHT_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/weights/weight_source.h"

namespace gemma {

// One allocation; its bytes are given back on destruction.
class WeightBlock {
 public:
  virtual ~WeightBlock() = default;
  virtual std::byte* data() const = 0;  // an address of the device's
  // Takes the pieces of request i to data() + offsets[i].
  virtual absl::StatusOr<std::unique_ptr<WeightSink>> MakeSink(std::vector<uint64_t> offsets) = 0;
};

class WeightMemory {
 public:
  virtual ~WeightMemory() = default;
  // ResourceExhausted with the number of bytes.
  virtual absl::StatusOr<std::unique_ptr<WeightBlock>> Take(uint64_t bytes) = 0;
  // Waits until everything that sinks were given is where it belongs.
  virtual absl::Status Finish() = 0;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_WEIGHT_MEMORY_H_
