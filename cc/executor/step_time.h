// Measured time of one kind of step, summed over the layers; and what every profile has in common.
#ifndef CC_EXECUTOR_STEP_TIME_H_
#define CC_EXECUTOR_STEP_TIME_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/plan/plan.h"

namespace gemma {

struct StepTime {
  std::string kind;         // the steps' name, with * for the layer
  int64_t steps = 0;        // in a call
  double microseconds = 0;  // of all of them together, run by themselves
  uint64_t bytes_read = 0;  // weights and keys and values, of all of them
  double operations = 0;    // multiplications and additions of products with weights
};

// "layers.*.mlp" of "layers.12.mlp": the name with * for each part that is a number.
std::string StepKind(absl::string_view step);

// InvalidArgument unless a call of prefill or decode may have `tokens` tokens at position `start`.
absl::Status CheckProfile(const Plan& plan, int64_t start, int64_t tokens);

}  // namespace gemma

#endif  // CC_EXECUTOR_STEP_TIME_H_
