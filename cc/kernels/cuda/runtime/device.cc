#include "cc/kernels/cuda/runtime/device.h"

#include <atomic>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/runtime/machine_code.h"

namespace gemma::cuda {
namespace {

absl::StatusCode CodeOf(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::StatusCode::kResourceExhausted;
    case cudaErrorNoDevice:
      return absl::StatusCode::kNotFound;
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorDeviceNotLicensed:
    case cudaErrorSystemNotReady:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

// By the compute capability of the code: from `first` on, the last row that fits.
struct Generation {
  int first_major;
  GpuFeatures features;
};
constexpr Generation kGenerations[] = {
    {8, {}},  // Ampere, Ada
    {9, {.overlap = true, .bulk_copies = true, .wgmma = true}},
    {10, {.overlap = true, .bulk_copies = true}},  // Blackwell
};

std::atomic<bool> gpu_is_lost = false;

absl::StatusOr<int> Attribute(cudaDeviceAttr attribute, int index) {
  int value = 0;
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaDeviceGetAttribute(&value, attribute, index), "cannot query the GPU"));
  return value;
}

}  // namespace

const GpuFeatures& Device::features() const {
  const Generation* found = &kGenerations[0];
  for (const Generation& generation : kGenerations) {
    if (generation.first_major <= code_major) found = &generation;
  }
  return found->features;
}

absl::Status ToStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::Status(CodeOf(error), absl::StrCat(what, ": ", cudaGetErrorString(error), " (",
                                                  cudaGetErrorName(error), ")"));
}

bool GpuIsLost() { return gpu_is_lost.load(std::memory_order_relaxed); }
void SetGpuLost() { gpu_is_lost.store(true, std::memory_order_relaxed); }

absl::StatusOr<Device> FindDevice(int index) {
  int count = 0;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaGetDeviceCount(&count), "cannot use a GPU"));
  if (index < 0 || index >= count) {
    return absl::NotFoundError(absl::StrCat("there is no GPU ", index, ", only ", count));
  }
  cudaDeviceProp properties;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaGetDeviceProperties(&properties, index),
                                 absl::StrCat("cannot query GPU ", index)));
  Device device;
  device.name = properties.name;
  device.index = index;
  device.compute_major = properties.major;
  device.compute_minor = properties.minor;
  device.multiprocessors = properties.multiProcessorCount;
  device.memory_bytes = properties.totalGlobalMem;
  GEMMA_ASSIGN_OR_RETURN(const int shared,
                         Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index));
  device.shared_bytes = static_cast<size_t>(shared);
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaSetDevice(index), "cannot use the GPU"));
  if (FindMachineCode(device.code_major) != cudaSuccess) cudaGetLastError();
  if (device.compute_major < 8) {
    return absl::FailedPreconditionError(
        absl::StrCat(device.name, " has compute capability ", device.compute_major, ".",
                     device.compute_minor, ", but the kernels need 8.0 or later"));
  }
  return device;
}

absl::StatusOr<DeviceBuffer> DeviceBuffer::Allocate(size_t bytes, absl::string_view what) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error != cudaSuccess) {
    cudaGetLastError();  // so that the next call does not report it again
    return ToStatus(error, absl::StrCat("cannot take ", bytes, " bytes of GPU memory for ", what));
  }
  DeviceBuffer buffer;
  buffer.data_.reset(memory);
  buffer.bytes_ = bytes;
  return buffer;
}

}  // namespace gemma::cuda
