#include "cc/engine/device_choice.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/executor/cpu/executor.h"
#include "cc/executor/cuda/executor.h"
#include "cc/executor/cuda/gpu_driver.h"
#include "cc/kernels/cuda/runtime/device.h"

namespace gemma {

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const ExecutorOptions& options) {
  if (GpuDriverVersion() == "none")
    return absl::UnavailableError("this machine has no NVIDIA driver");
  GEMMA_ASSIGN_OR_RETURN(const cuda::Device device, cuda::FindDevice(0));
  return CudaExecutor::Create({.device = device, .suppressed_ids = options.suppressed_ids});
}

absl::StatusOr<ChosenExecutor> MakeExecutor(DeviceChoice choice, const ExecutorOptions& options) {
  ChosenExecutor chosen;
  if (choice != DeviceChoice::kCpu) {
    absl::StatusOr<std::unique_ptr<Executor>> cuda = MakeCudaExecutor(options);
    if (cuda.ok()) {
      chosen.executor = *std::move(cuda);
      return chosen;
    }
    if (choice == DeviceChoice::kCuda) {
      return absl::Status(
          cuda.status().code(),
          absl::StrCat("--device cuda: ", cuda.status().message(), " (use --device cpu)"));
    }
    chosen.reason = cuda.status().message();
  }
  GEMMA_ASSIGN_OR_RETURN(
      chosen.executor,
      CpuExecutor::Create({.threads = options.threads, .suppressed_ids = options.suppressed_ids}));
  return chosen;
}

}  // namespace gemma
