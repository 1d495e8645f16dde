#include "cc/base/host_memory.h"

#include <sys/mman.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

constexpr uint64_t kHugePage = 2 << 20;

// Below this, rounding up to huge pages would waste more than it saves.
constexpr uint64_t kLeastForHugePages = 4 * kHugePage;

}  // namespace

absl::StatusOr<HostMemory> HostMemory::Allocate(uint64_t bytes, absl::string_view purpose) {
  HostMemory memory;
  if (bytes == 0) return memory;
  const bool huge = bytes >= kLeastForHugePages;
  GEMMA_ASSIGN_OR_RETURN(const uint64_t mapped,
                         CheckedRoundUp<uint64_t>(bytes, huge ? kHugePage : 4096));
  void* data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes, " bytes of ", purpose));
  }
  // Advice only: a kernel without huge pages serves small ones.
  if (huge) madvise(data, mapped, MADV_HUGEPAGE);
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  memory.mapped_ = mapped;
  return memory;
}

HostMemory::HostMemory(HostMemory&& other) noexcept { *this = std::move(other); }

HostMemory& HostMemory::operator=(HostMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

HostMemory::~HostMemory() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

}  // namespace gemma
