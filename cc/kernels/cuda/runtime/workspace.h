// A stream's scratch memory: named regions, each declared beside the launcher of the operation that
// uses it, so that this room knows no operation.
#ifndef CC_KERNELS_CUDA_RUNTIME_WORKSPACE_H_
#define CC_KERNELS_CUDA_RUNTIME_WORKSPACE_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/cuda/runtime/device.h"

namespace gemma::cuda {

struct Region {
  absl::string_view name;  // a constant: it outlives the workspace
  size_t bytes = 0;
  // Zero before the first launch; every kernel leaves it zero again (or valid for the next one).
  bool zeroed = false;

  friend bool operator==(const Region&, const Region&) = default;
};

using Regions = std::vector<Region>;

// Adds `more` to `regions`; of two with the same name, the larger one stays.
void AddRegions(const Regions& more, Regions& regions);

// Kernels leave the memory as they found it, so those of one stream share it. One workspace a
// stream; never used by two streams at once.
class Workspace {
 public:
  static absl::StatusOr<Workspace> Create(const Regions& regions, Stream stream);
  // What Create takes.
  static size_t Bytes(const Regions& regions);

  const Regions& regions() const { return regions_; }

  // The memory of `needed`, aligned to 256 bytes; null where it asks for 0 bytes. InvalidArgument
  // names a region that is not there or too small.
  template <typename T>
  absl::StatusOr<T*> Find(const Region& needed) const {
    absl::StatusOr<std::byte*> memory = FindBytes(needed);
    if (!memory.ok()) return memory.status();
    return reinterpret_cast<T*>(*memory);
  }

  // Another number for every launch that asks, by ones.
  unsigned NextTurn() { return turn_++; }

  // Zeroes the zeroed regions again: after a call that failed, a kernel may have left anything.
  absl::Status Clear(Stream stream);

 private:
  absl::StatusOr<std::byte*> FindBytes(const Region& needed) const;

  DeviceBuffer memory_;
  Regions regions_;
  std::vector<size_t> offsets_;
  unsigned turn_ = 0;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_WORKSPACE_H_
