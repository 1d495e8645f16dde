#include "cc/executor/cpu/measure.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/host_memory.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

using cpu::Slice;

constexpr uint64_t kLeastBytes = 256 << 20;
constexpr uint64_t kCaches = 4;  // as many times what they hold
constexpr int64_t kPiece = 128;  // floats of which a share has a whole number
constexpr int kRuns = 6;

}  // namespace

absl::StatusOr<uint64_t> BytesToRead(uint64_t cache_bytes, uint64_t free_bytes) {
  const uint64_t bytes = std::max(kLeastBytes, kCaches * cache_bytes);
  if (free_bytes / 2 < bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("measuring how fast memory is read takes ", bytes, " bytes, and ", free_bytes,
                     " are free, of which half may be taken (end other programs)"));
  }
  return bytes;
}

uint64_t LastCacheBytes() {
  uint64_t most = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE})
    most = std::max(most, static_cast<uint64_t>(std::max(sysconf(level), 0L)));
#endif
  return most;
}

absl::StatusOr<double> MeasureReadBandwidth(const cpu::Kernels& kernels, cpu::ThreadPool& pool,
                                            uint64_t bytes) {
  GEMMA_ASSIGN_OR_RETURN(const HostMemory memory, HostMemory::Allocate(bytes, "measuring"));
  auto* const numbers = reinterpret_cast<float*>(memory.data());
  const int64_t count = static_cast<int64_t>(bytes / sizeof(float)) / kPiece * kPiece;
  // Pages that nobody wrote to are one page of zeros.
  pool.Run([&](Slice slice) {
    const cpu::Range share = Share(count, slice, kPiece);
    std::fill(numbers + share.begin, numbers + share.end, 1.0f);
  });
  std::atomic<float> sum = 0;  // nothing that is read may be left out
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    pool.Run([&](Slice slice) {
      const cpu::Range share = Share(count, slice, kPiece);
      sum += kernels.read(numbers + share.begin, share.end - share.begin);
    });
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    best = std::max(best, static_cast<double>(count) * sizeof(float) / taken.count());
  }
  return best;
}

}  // namespace gemma
