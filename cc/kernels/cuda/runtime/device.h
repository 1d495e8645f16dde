// The GPU that kernels run on, and CUDA's errors as statuses.
#ifndef CC_KERNELS_CUDA_RUNTIME_DEVICE_H_
#define CC_KERNELS_CUDA_RUNTIME_DEVICE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma::cuda {

using Stream = cudaStream_t;

struct Device {
  std::string name;
  int index = 0;
  int compute_major = 0;
  int compute_minor = 0;
  int multiprocessors = 0;
  size_t shared_bytes = 0;  // that one block may use
  size_t memory_bytes = 0;
};

// Ok, or the error with what failed: "cannot copy the weights: out of memory
// (cudaErrorMemoryAllocation)". Running out of memory is ResourceExhausted, no usable driver or GPU
// Unavailable, everything else Internal.
absl::Status ToStatus(cudaError_t error, absl::string_view what);

// NotFound when there is no GPU, Unavailable when the driver is missing or too old for this
// program, FailedPrecondition when the GPU is older than compute capability 8.0.
absl::StatusOr<Device> FindDevice(int index);

// Device memory, freed on destruction.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // ResourceExhausted names `what` and the bytes.
  static absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, absl::string_view what);

  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const { cudaFree(memory); }
  };
  std::unique_ptr<void, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_DEVICE_H_
