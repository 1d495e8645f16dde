#include "cc/executor/cpu/session.h"

#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

constexpr uint64_t kAlignment = 64;

// Keys and values of one cache are of this size each, so that both start aligned.
absl::StatusOr<uint64_t> HalfBytes(const PlanCache& cache) {
  return CheckedRoundUp(cache.bytes / 2, kAlignment);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuSession>> CpuSession::Create(const std::vector<PlanCache>& caches,
                                                               int64_t max_context) {
  uint64_t total = 0;
  for (const PlanCache& cache : caches) {
    GEMMA_ASSIGN_OR_RETURN(const uint64_t half, HalfBytes(cache));
    GEMMA_ASSIGN_OR_RETURN(total, CheckedAdd(total, half));
    GEMMA_ASSIGN_OR_RETURN(total, CheckedAdd(total, half));
  }
  GEMMA_ASSIGN_OR_RETURN(HostMemory memory, HostMemory::Allocate(total, "keys and values"));
  return std::unique_ptr<CpuSession>(new CpuSession(caches, max_context, std::move(memory)));
}

CpuSession::CpuSession(const std::vector<PlanCache>& caches, int64_t max_context, HostMemory memory)
    : SessionState(caches, max_context), memory_(std::move(memory)) {
  std::byte* next = memory_.data();
  for (const PlanCache& cache : caches) {
    const uint64_t half = *HalfBytes(cache);
    kv_caches_.push_back({.keys = next,
                          .values = next + half,
                          .type = cache.type,
                          .kv_heads = cache.kv_heads,
                          .head_dim = cache.head_dim,
                          .capacity = cache.capacity,
                          .window = cache.window});
    next += 2 * half;
  }
}

}  // namespace gemma
