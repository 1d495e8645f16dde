// Whatever the bytes of a plan, it is refused in a sentence, or all that plan.h promises of it is
// true: it is of one method, it means the same once it is written and read again, and its values
// fit memory without sharing any.

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "cc/plan/activation_memory.h"
#include "cc/plan/plan_check.h"
#include "cc/plan/plan_read.h"
#include "cc/plan/testing/plan_writer.h"
#include "cc/plan/testing/tiny_model.h"

namespace gemma::fuzzing {
namespace {

constexpr uint64_t kScratchBytes = 1000;
constexpr size_t kFewSteps = 100;  // of which all pairs of operands are looked at

std::span<const std::byte> AsBytes(absl::string_view text) {
  return std::as_bytes(std::span(text));
}

bool IsIndex(Index index, size_t size) { return index >= 0 && static_cast<size_t>(index) < size; }

void CheckOperands(const Plan& plan) {
  for (const PlanStep& step : plan.steps) {
    const StepOperands operands = OperandsOf(step.operation);
    for (const auto* values : {&operands.reads, &operands.writes}) {
      for (const Index value : *values)
        Check(IsIndex(value, plan.values.size()), "a step's value exists");
    }
    for (const Index weight : operands.weights)
      Check(IsIndex(weight, plan.weights.size()), "a step's weight exists");
    for (const Index cache : {operands.cache_read, operands.cache_written})
      Check(cache == kAbsent || IsIndex(cache, plan.caches.size()), "a step's cache exists");
  }
}

void CheckMemory(const Plan& plan) {
  const absl::StatusOr<ActivationMemory> memory = PlaceActivations(plan, kScratchBytes);
  Check(memory.ok(), "the values of a checked plan fit", memory.status().message());
  for (const MemoryRange& range : memory->values) {
    Check(range.offset + range.size <= memory->bytes, "a value lies within the block");
  }
  if (plan.steps.size() > kFewSteps) return;
  for (const PlanStep& step : plan.steps) {
    const StepOperands operands = OperandsOf(step.operation);
    for (const Index written : operands.writes) {
      for (const Index read : operands.reads) {
        Check(written == read || !memory->values[written].Overlaps(memory->values[read]),
              "a step's values do not share bytes");
      }
    }
  }
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  int methods = 0;
  for (int method = 0; method < kPlanMethods; ++method) {
    const auto name = PlanMethodName(static_cast<PlanMethod>(method));
    const absl::StatusOr<Plan> plan = ReadCheckedPlan(AsBytes(bytes), name);
    methods += plan.ok();
    if (!plan.ok()) {
      CheckRefusal(plan.status());
      continue;
    }
    CheckOperands(*plan);
    CheckMemory(*plan);
    const std::string written = WritePlan(*plan);
    const absl::StatusOr<Plan> again = ReadCheckedPlan(AsBytes(written), name);
    Check(again.ok(), "a plan is accepted once it is written again:", again.status().message());
    Check(WritePlan(*again) == written, "a plan that is written again is the same");
  }
  Check(methods <= 1, "a plan is of one method");
  return methods == 1;
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  const TinyModel small({.layers = 1, .full_every = 1, .vocab = 32});
  const TinyModel both(
      {.layers = 2, .full_every = 2, .layout = WeightLayout::kInt4, .cache = CacheType::kF16});
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
    seeds.push_back(WritePlan(small.MakePlan(method)));
    seeds.push_back(WritePlan(both.MakePlan(method)));
  }
  return seeds;
}

}  // namespace gemma::fuzzing
