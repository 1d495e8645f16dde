#include "cc/executor/device_choice.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/executor/cpu/executor.h"
#include "cc/executor/cuda/executor.h"
#include "cc/kernels/cuda/runtime/device.h"

namespace gemma {
namespace {

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor() {
  GEMMA_ASSIGN_OR_RETURN(const cuda::Device device, cuda::FindDevice(0));
  return CudaExecutor::Create({.device = device});
}

}  // namespace

absl::StatusOr<ChosenExecutor> MakeExecutor(DeviceChoice choice, int threads) {
  ChosenExecutor chosen;
  if (choice != DeviceChoice::kCpu) {
    absl::StatusOr<std::unique_ptr<Executor>> cuda = MakeCudaExecutor();
    if (cuda.ok()) {
      chosen.executor = *std::move(cuda);
      return chosen;
    }
    if (choice == DeviceChoice::kCuda) {
      return absl::Status(
          cuda.status().code(),
          absl::StrCat("--device cuda: ", cuda.status().message(), " (use --device cpu)"));
    }
    chosen.reason = absl::StrCat("no GPU can be used (", cuda.status().message(), ")");
  }
  GEMMA_ASSIGN_OR_RETURN(chosen.executor, CpuExecutor::Create({.threads = threads}));
  return chosen;
}

}  // namespace gemma
