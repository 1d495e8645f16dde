#include "cc/engine/artifact_description.h"

#include <map>
#include <string>

#include "cc/kernels/weight_layout.h"
#include "cc/plan/plan.h"

namespace gemma {
namespace {

std::vector<LayoutTotal> TotalsByLayout(const Plan& plan) {
  std::map<std::string, LayoutTotal> totals;
  for (const PlanWeight& weight : plan.weights) {
    const std::string layout(WeightLayoutName(weight.shape.layout));
    LayoutTotal& total = totals[layout];
    total.layout = layout;
    total.weights += 1;
    total.parameters += static_cast<double>(weight.shape.rows) * weight.shape.columns;
    total.bytes += weight.bytes;
  }
  std::vector<LayoutTotal> sorted;
  for (auto& [name, total] : totals) sorted.push_back(std::move(total));
  return sorted;
}

}  // namespace

MethodDescription DescribePlan(const Plan& plan) {
  MethodDescription method = {.name = std::string(PlanMethodName(plan.method)),
                              .max_tokens = plan.max_tokens,
                              .weights = static_cast<int64_t>(plan.weights.size()),
                              .layouts = TotalsByLayout(plan)};
  for (const PlanCache& cache : plan.caches) method.cache_bytes += cache.bytes;
  for (const PlanStep& step : plan.steps)
    method.steps.push_back({step.name, std::string(PlanOperationName(step.operation))});
  return method;
}

}  // namespace gemma
