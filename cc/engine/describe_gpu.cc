#include "cc/engine/describe_gpu.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cc/base/status_macros.h"
#include "cc/executor/cuda/gpu_driver.h"
#include "cc/executor/device_choice.h"

namespace gemma {
namespace {

absl::StatusOr<std::string> Describe() {
  GEMMA_ASSIGN_OR_RETURN(const ChosenExecutor chosen, MakeExecutor(DeviceChoice::kCuda, 0));
  GEMMA_ASSIGN_OR_RETURN(const DeviceFigures figures, chosen.executor->Measure());
  return absl::StrFormat("%s, driver for CUDA %s, %.1f of %.1f GB in use, reads %.0f GB/s",
                         chosen.executor->Description(), GpuDriverVersion(),
                         figures.memory_used / 1e9, figures.memory_total / 1e9,
                         figures.read_bytes_per_second / 1e9);
}

}  // namespace

std::string DescribeGpu() {
  const absl::StatusOr<std::string> text = Describe();
  return text.ok() ? *text : absl::StrCat("none that can be used: ", text.status().message());
}

}  // namespace gemma
