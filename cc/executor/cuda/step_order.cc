#include "cc/executor/cuda/step_order.h"

#include <algorithm>

namespace gemma {
namespace {

bool Has(const std::vector<Index>& values, Index value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

StepOrder::StepOrder(const Plan& plan) : steps_(plan.steps) {
  while (select_ < size() && Get<SelectLastStep>(select_) == nullptr) ++select_;
}

bool StepOrder::IsDead(Index value, size_t step) const {
  for (; step < size(); ++step) {
    const StepOperands operands = OperandsOf(steps_[step].operation);
    if (Has(operands.reads, value)) return false;
    if (Has(operands.writes, value)) return true;
  }
  return true;
}

bool StepOrder::AreDead(const std::vector<Index>& values, Index rewritten, size_t step) const {
  return std::all_of(values.begin(), values.end(),
                     [&](Index value) { return value == rewritten || IsDead(value, step); });
}

bool StepOrder::FeedsProduct(Index value, size_t step) const {
  for (; step < size(); ++step) {
    const PlanOperation& operation = steps_[step].operation;
    if (const auto* select = std::get_if<SelectLastStep>(&operation)) {
      if (select->in == value) return FeedsProduct(select->out, step + 1);
    } else if (const auto* linear = std::get_if<LinearStep>(&operation)) {
      if (linear->in == value) return true;
    } else if (const auto* score = std::get_if<ScoreStep>(&operation)) {
      if (score->in == value) return true;
    }
    const StepOperands operands = OperandsOf(operation);
    if (Has(operands.reads, value) || Has(operands.writes, value)) return false;
  }
  return false;
}

}  // namespace gemma
