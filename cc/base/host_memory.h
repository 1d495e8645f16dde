// Memory straight from the operating system, for what is large and lives long: weights, caches,
// activations. It is zero until written, takes no physical memory until touched, asks for huge
// pages, and its absence is an error instead of an exception.
#ifndef CC_BASE_HOST_MEMORY_H_
#define CC_BASE_HOST_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma {

class HostMemory {
 public:
  // `bytes` zeros, aligned to 64 bytes or more. `purpose` names the consumer in the error:
  // "no memory for 18253611008 bytes of weights".
  static absl::StatusOr<HostMemory> Allocate(uint64_t bytes, absl::string_view purpose);

  HostMemory() = default;
  HostMemory(HostMemory&& other) noexcept;
  HostMemory& operator=(HostMemory&& other) noexcept;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory();

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  uint64_t mapped_ = 0;  // bytes that the mapping holds: size_ rounded up
};

}  // namespace gemma

#endif  // CC_BASE_HOST_MEMORY_H_
