// Measured time of one kind of step, summed over the layers.
#ifndef CC_EXECUTOR_STEP_TIME_H_
#define CC_EXECUTOR_STEP_TIME_H_

#include <cstdint>
#include <string>

namespace gemma {

struct StepTime {
  std::string kind;         // the steps' name, with * for the layer
  int64_t steps = 0;        // in a call
  double microseconds = 0;  // of all of them together, run by themselves
  uint64_t bytes_read = 0;  // weights and keys and values, of all of them
  double operations = 0;    // multiplications and additions of products with weights
};

}  // namespace gemma

#endif  // CC_EXECUTOR_STEP_TIME_H_
