#include "cc/executor/cpu/profile.h"

#include <algorithm>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"

namespace gemma {
namespace {

bool IsProduct(const PlanOperation& operation) {
  return std::holds_alternative<LinearStep>(operation);
}

uint64_t WeightBytes(const Plan& plan, const PlanStep& step) {
  if (!IsProduct(step.operation)) return 0;  // vectors, and of the embedding some rows
  uint64_t bytes = 0;
  for (const Index index : OperandsOf(step.operation).weights) bytes += plan.weights[index].bytes;
  return bytes;
}

uint64_t CacheBytes(const Plan& plan, const PlanStep& step, int64_t end) {
  const auto* attention = std::get_if<AttentionStep>(&step.operation);
  if (attention == nullptr) return 0;
  const PlanCache& cache = plan.caches[attention->cache];
  const int64_t seen = cache.window == 0 ? end : std::min(cache.window, end);
  return cache.bytes / static_cast<uint64_t>(cache.capacity) * static_cast<uint64_t>(seen);
}

double Operations(const Plan& plan, const PlanStep& step, int64_t tokens) {
  const auto* linear = std::get_if<LinearStep>(&step.operation);
  if (linear == nullptr) return 0;
  double weights = 0;
  for (const Index index : linear->weights) {
    const WeightShape& shape = plan.weights[index].shape;
    weights += static_cast<double>(shape.rows) * static_cast<double>(shape.columns);
  }
  return 2 * weights * static_cast<double>(plan.Rows(linear->in, tokens));
}

std::string KindOf(const Plan& plan, const PlanStep& step) {
  std::string kind = StepKind(step.name);
  if (const auto* attention = std::get_if<AttentionStep>(&step.operation))
    absl::StrAppend(&kind, plan.caches[attention->cache].window == 0 ? ", full" : ", sliding");
  return kind;
}

StepTime& FindOrAdd(std::vector<StepTime>& times, const std::string& kind) {
  const auto found = std::find_if(times.begin(), times.end(),
                                  [&](const StepTime& time) { return time.kind == kind; });
  return found != times.end() ? *found : times.emplace_back(StepTime{.kind = kind});
}

}  // namespace

std::vector<StepTime> ProfileByKind(const Plan& plan, int64_t start, int64_t tokens,
                                    std::span<const double> seconds) {
  std::vector<StepTime> times;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const PlanStep& step = plan.steps[i];
    StepTime& time = FindOrAdd(times, KindOf(plan, step));
    ++time.steps;
    time.microseconds += 1e6 * seconds[i];
    time.bytes_read += WeightBytes(plan, step) + CacheBytes(plan, step, start + tokens);
    time.operations += Operations(plan, step, tokens);
  }
  return times;
}

}  // namespace gemma
