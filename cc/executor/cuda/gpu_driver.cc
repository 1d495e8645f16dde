#include "cc/executor/cuda/gpu_driver.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"

namespace gemma {
namespace {

std::string VersionText(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

}  // namespace

std::string GpuDriverVersion() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return "none";
  return VersionText(version);
}

std::string CudaToolkitVersion() { return VersionText(CUDART_VERSION); }

}  // namespace gemma
