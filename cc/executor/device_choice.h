// Which device a model runs on.
#ifndef CC_EXECUTOR_DEVICE_CHOICE_H_
#define CC_EXECUTOR_DEVICE_CHOICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cc/executor/executor.h"

namespace gemma {

enum class DeviceChoice { kAuto, kCpu, kCuda };

struct ChosenExecutor {
  std::unique_ptr<Executor> executor;
  // For people, why it is this one where nobody asked for it: "no GPU can be used (...)". Empty
  // otherwise.
  std::string reason;
};

// kAuto takes the GPU 0 where there is a usable one, else the CPU and says why; kCuda fails where
// there is none. `threads`: of the CPU; 0: as many as there are.
absl::StatusOr<ChosenExecutor> MakeExecutor(DeviceChoice choice, int threads);

}  // namespace gemma

#endif  // CC_EXECUTOR_DEVICE_CHOICE_H_
