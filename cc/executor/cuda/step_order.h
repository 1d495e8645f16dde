// A plan's steps in their order, and what comes after one of them: the next step's kind, and
// whether a value is read again. Pure data; fusion.h decides with it.
#ifndef CC_EXECUTOR_CUDA_STEP_ORDER_H_
#define CC_EXECUTOR_CUDA_STEP_ORDER_H_

#include <cstddef>
#include <variant>
#include <vector>

#include "cc/plan/plan.h"

namespace gemma {

class StepOrder {
 public:
  // The plan must outlive it.
  explicit StepOrder(const Plan& plan);

  size_t size() const { return steps_.size(); }
  const PlanStep& operator[](size_t index) const { return steps_[index]; }

  // Step `index` if there is one and it is of this kind, else null.
  template <typename Step>
  const Step* Get(size_t index) const {
    return index < size() ? std::get_if<Step>(&steps_[index].operation) : nullptr;
  }

  // The index of SelectLast, or size() where there is none.
  size_t select() const { return select_; }

  // Whether no step from `step` on reads the value before it is written again.
  bool IsDead(Index value, size_t step) const;

  // The same for all of them, but for `rewritten`, which holds a result.
  bool AreDead(const std::vector<Index>& values, Index rewritten, size_t step) const;

  // Whether the next reader of a value, from step `step` on, is a product.
  bool FeedsProduct(Index value, size_t step) const;

 private:
  const std::vector<PlanStep>& steps_;
  size_t select_ = 0;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_STEP_ORDER_H_
