// Where a plan's values lie in one block of memory:
// values that are never alive at the same time share bytes.
#ifndef CC_PLAN_ACTIVATION_MEMORY_H_
#define CC_PLAN_ACTIVATION_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/plan/plan.h"

namespace gemma {

// Bytes [offset, offset + size) of the block.
struct MemoryRange {
  uint64_t offset = 0;
  uint64_t size = 0;

  bool Overlaps(const MemoryRange& other) const {
    return offset < other.offset + other.size && other.offset < offset + size;
  }
};

// A buffer's bytes and the steps during which they must not be another's.
struct BufferLifetime {
  size_t first = 0;
  size_t last = 0;
  uint64_t size = 0;
  bool used = false;

  void Touch(size_t step) {
    if (!used) first = step;
    used = true;
    last = step;
  }
  bool Overlaps(const BufferLifetime& other) const {
    return first <= other.last && other.first <= last;
  }
};

// Places for buffers, by index, at multiples of `alignment`; those whose lifetimes overlap do not
// overlap. OutOfRange when the sizes do not fit 64 bits.
absl::StatusOr<std::vector<MemoryRange>> PlaceLifetimes(std::vector<BufferLifetime> lifetimes,
                                                        uint64_t alignment);

struct ActivationMemory {
  std::vector<MemoryRange>
      values;           // by value; float32, for max_tokens rows or one; aligned to 64 bytes
  MemoryRange scratch;  // `scratch_bytes` for the last step, alive during it alone
  uint64_t bytes = 0;   // of the block
};

// A value lives from the first step that writes it to the last that reads or writes it. OutOfRange
// when the sizes do not fit 64 bits.
absl::StatusOr<ActivationMemory> PlaceActivations(const Plan& plan, uint64_t scratch_bytes);

// For every step, whether all threads must have finished the steps before it: it reads what was
// written, or writes what was read or written, since the last such step.
std::vector<bool> FindBarriers(const Plan& plan, const ActivationMemory& activations);

}  // namespace gemma

#endif  // CC_PLAN_ACTIVATION_MEMORY_H_
