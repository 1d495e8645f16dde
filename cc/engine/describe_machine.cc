#include "cc/engine/describe_machine.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cc/base/available_memory.h"
#include "cc/base/cpu_count.h"
#include "cc/base/status_macros.h"
#include "cc/engine/device_choice.h"
#include "cc/executor/cuda/gpu_driver.h"
#include "cc/executor/executor.h"
#include "cc/kernels/cpu/kernels.h"

namespace gemma {
namespace {

absl::StatusOr<std::string> DescribeGpu() {
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor, MakeCudaExecutor({}));
  GEMMA_ASSIGN_OR_RETURN(const DeviceFigures figures, executor->Measure());
  return absl::StrFormat("%s, driver for CUDA %s, %.1f of %.1f GB in use, reads %.0f GB/s",
                         executor->Description(), GpuDriverVersion(), figures.memory_used / 1e9,
                         figures.memory_total / 1e9, figures.read_bytes_per_second / 1e9);
}

}  // namespace

MachineDescription DescribeMachine() {
  const absl::StatusOr<std::string> gpu = DescribeGpu();
  return {.kernels = std::string(cpu::IsaName(cpu::BestKernels().isa)),
          .cpus = AvailableCpus(),
          .free_memory = AvailableMemory(),
          .gpu = gpu.ok() ? *gpu : absl::StrCat("none: ", gpu.status().message())};
}

std::string BuiltWithCuda() { return CudaToolkitVersion(); }

}  // namespace gemma
