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

// What the generations of GPUs can do, as far as kernels differ: the one place that knows.
struct GpuFeatures {
  // Programmatic dependent launch: a kernel starts while the one before it ends.
  bool overlap = false;
  // Bulk asynchronous copies into shared memory that arrive at an mbarrier.
  bool bulk_copies = false;
  // Hopper's warpgroup products (wgmma) and tensor maps (TMA), of sm_90a alone.
  bool wgmma = false;
};

struct Device {
  std::string name;
  int index = 0;
  int compute_major = 0;
  int compute_minor = 0;
  int code_major = 0;  // what the kernels that run on it were compiled for; 0: there are none
  int multiprocessors = 0;
  size_t shared_bytes = 0;  // that one block may use
  size_t memory_bytes = 0;

  const GpuFeatures& features() const;
};

// A block that asks for so much shared memory shares its multiprocessor with no other of its kind:
// more than half of what a multiprocessor has, which is 1 KB more than a block may use, and each
// block takes 1 KB more than it asks for.
inline size_t ExclusiveSharedBytes(const Device& device) {
  return (device.shared_bytes + 1024) / 2;
}

// Ok, or the error with what failed: "cannot copy the weights: out of memory
// (cudaErrorMemoryAllocation)". Running out of memory is ResourceExhausted, no usable driver or GPU
// Unavailable, everything else Internal.
absl::Status ToStatus(cudaError_t error, absl::string_view what);

// A wait for the GPU came to its end (wait.h). From then on nothing is given back to CUDA, whose
// calls would wait for that GPU as well: it all goes with the process.
bool GpuIsLost();
void SetGpuLost();

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
    void operator()(void* memory) const {
      if (!GpuIsLost()) cudaFree(memory);
    }
  };
  std::unique_ptr<void, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_DEVICE_H_
