// Which device a model runs on.
#ifndef CC_ENGINE_DEVICE_CHOICE_H_
#define CC_ENGINE_DEVICE_CHOICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/executor/executor.h"

namespace gemma {

enum class DeviceChoice { kAuto, kCpu, kCuda };

struct ExecutorOptions {
  int threads = 0;                           // of the CPU; 0: as many as there are
  std::vector<int32_t> suppressed_ids = {};  // never drawn
};

struct ChosenExecutor {
  std::unique_ptr<Executor> executor;
  // For people, why it is the CPU where nobody asked for it: "this machine has no NVIDIA driver".
  // Empty otherwise.
  std::string reason;
};

// The executor of GPU 0; an error says why that cannot be used.
absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const ExecutorOptions& options);

// kAuto takes the GPU 0 where there is a usable one, else the CPU and says why; kCuda fails where
// there is none.
absl::StatusOr<ChosenExecutor> MakeExecutor(DeviceChoice choice, const ExecutorOptions& options);

}  // namespace gemma

#endif  // CC_ENGINE_DEVICE_CHOICE_H_
