#include "cc/plan/activation_memory.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <variant>

#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

constexpr uint64_t kAlignment = 64;

absl::StatusOr<std::vector<BufferLifetime>> FindLifetimes(const Plan& plan) {
  std::vector<BufferLifetime> lifetimes(plan.values.size());
  for (size_t i = 0; i < plan.values.size(); ++i) {
    const auto rows = static_cast<uint64_t>(plan.Rows(static_cast<Index>(i), plan.max_tokens));
    GEMMA_ASSIGN_OR_RETURN(
        const uint64_t numbers,
        CheckedMul<uint64_t>(rows, static_cast<uint64_t>(plan.values[i].columns)));
    GEMMA_ASSIGN_OR_RETURN(lifetimes[i].size, CheckedMul<uint64_t>(numbers, sizeof(float)));
  }
  for (size_t step = 0; step < plan.steps.size(); ++step) {
    const StepOperands operands = OperandsOf(plan.steps[step].operation);
    for (const Index value : operands.reads) lifetimes[value].Touch(step);
    for (const Index value : operands.writes) lifetimes[value].Touch(step);
  }
  return lifetimes;
}

// The lowest place that no range in `taken` (sorted by offset) overlaps.
absl::StatusOr<uint64_t> LowestGap(const std::vector<MemoryRange>& taken, uint64_t size) {
  uint64_t offset = 0;
  for (const MemoryRange& range : taken) {
    if (range.offset >= offset && range.offset - offset >= size) return offset;
    offset = std::max(offset, range.offset + range.size);
  }
  GEMMA_RETURN_IF_ERROR(CheckedAdd(offset, size).status());
  return offset;
}

// What the steps since the last barrier touch.
class Epoch {
 public:
  bool Conflicts(const std::vector<MemoryRange>& reads,
                 const std::vector<MemoryRange>& writes) const {
    return AnyOverlap(reads, writes_) || AnyOverlap(writes, writes_) || AnyOverlap(writes, reads_);
  }
  void Add(const std::vector<MemoryRange>& reads, const std::vector<MemoryRange>& writes) {
    reads_.insert(reads_.end(), reads.begin(), reads.end());
    writes_.insert(writes_.end(), writes.begin(), writes.end());
  }
  void Clear() {
    reads_.clear();
    writes_.clear();
  }

 private:
  static bool AnyOverlap(const std::vector<MemoryRange>& a, const std::vector<MemoryRange>& b) {
    for (const MemoryRange& x : a) {
      for (const MemoryRange& y : b) {
        if (x.Overlaps(y)) return true;
      }
    }
    return false;
  }

  std::vector<MemoryRange> reads_;
  std::vector<MemoryRange> writes_;
};

// Workspaces and caches take part as ranges beyond the block.
struct OutsideRanges {
  explicit OutsideRanges(const ActivationMemory& activations) : base(activations.bytes) {}

  MemoryRange PackedInput() const { return {base, 1}; }
  MemoryRange AttentionParts() const { return {base + 1, 1}; }
  MemoryRange Cache(Index cache) const { return {base + 2 + static_cast<uint64_t>(cache), 1}; }

  uint64_t base;
};

}  // namespace

absl::StatusOr<std::vector<MemoryRange>> PlaceLifetimes(std::vector<BufferLifetime> lifetimes,
                                                        uint64_t alignment) {
  for (BufferLifetime& lifetime : lifetimes) {
    GEMMA_ASSIGN_OR_RETURN(lifetime.size, CheckedRoundUp(lifetime.size, alignment));
  }
  // Large ones first: small ones fit into what is left between them.
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].size > lifetimes[b].size; });
  std::vector<MemoryRange> places(lifetimes.size());
  std::vector<size_t> placed;
  for (const size_t index : order) {
    if (!lifetimes[index].used) continue;
    std::vector<MemoryRange> taken;
    for (const size_t other : placed) {
      if (lifetimes[index].Overlaps(lifetimes[other])) taken.push_back(places[other]);
    }
    std::sort(taken.begin(), taken.end(),
              [](const MemoryRange& a, const MemoryRange& b) { return a.offset < b.offset; });
    GEMMA_ASSIGN_OR_RETURN(const uint64_t offset, LowestGap(taken, lifetimes[index].size));
    places[index] = {offset, lifetimes[index].size};
    placed.push_back(index);
  }
  return places;
}

absl::StatusOr<ActivationMemory> PlaceActivations(const Plan& plan, uint64_t scratch_bytes) {
  GEMMA_ASSIGN_OR_RETURN(std::vector<BufferLifetime> lifetimes, FindLifetimes(plan));
  BufferLifetime scratch;
  scratch.size = scratch_bytes;
  scratch.Touch(plan.steps.size() - 1);
  lifetimes.push_back(scratch);

  ActivationMemory result;
  GEMMA_ASSIGN_OR_RETURN(result.values, PlaceLifetimes(std::move(lifetimes), kAlignment));
  for (const MemoryRange& range : result.values)
    result.bytes = std::max(result.bytes, range.offset + range.size);
  result.scratch = result.values.back();
  result.values.pop_back();
  return result;
}

std::vector<bool> FindBarriers(const Plan& plan, const ActivationMemory& activations) {
  const OutsideRanges outside(activations);
  std::vector<bool> barriers;
  Epoch epoch;
  for (const PlanStep& step : plan.steps) {
    const StepOperands operands = OperandsOf(step.operation);
    std::vector<MemoryRange> reads;
    std::vector<MemoryRange> writes;
    for (const Index value : operands.reads) reads.push_back(activations.values[value]);
    for (const Index value : operands.writes) writes.push_back(activations.values[value]);
    if (operands.cache_read != kAbsent) reads.push_back(outside.Cache(operands.cache_read));
    if (operands.cache_written != kAbsent) writes.push_back(outside.Cache(operands.cache_written));
    if (std::holds_alternative<LinearStep>(step.operation)) writes.push_back(outside.PackedInput());
    if (std::holds_alternative<AttentionStep>(step.operation))
      writes.push_back(outside.AttentionParts());
    if (std::holds_alternative<ScoreStep>(step.operation)) {
      writes.push_back(outside.PackedInput());
      writes.push_back(activations.scratch);
    }
    barriers.push_back(epoch.Conflicts(reads, writes));
    if (barriers.back()) epoch.Clear();
    epoch.Add(reads, writes);
  }
  return barriers;
}

}  // namespace gemma
