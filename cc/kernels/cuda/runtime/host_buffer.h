// Pinned host memory, streams and events, each released on destruction.
#ifndef CC_KERNELS_CUDA_RUNTIME_HOST_BUFFER_H_
#define CC_KERNELS_CUDA_RUNTIME_HOST_BUFFER_H_

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/cuda/runtime/device.h"

namespace gemma::cuda {

// Host memory that the GPU copies from and to by itself.
class HostBuffer {
 public:
  HostBuffer() = default;
  // ResourceExhausted names `what` and the bytes.
  static absl::StatusOr<HostBuffer> Allocate(size_t bytes, absl::string_view what);

  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const {
      if (!GpuIsLost()) cudaFreeHost(memory);
    }
  };
  std::unique_ptr<void, Free> data_;
  size_t bytes_ = 0;
};

// A point in a stream.
class Event {
 public:
  // Created when first recorded.
  absl::Status Record(Stream stream);
  // Until what was in the stream before the last Record is done, as WaitForEvent; at once where
  // there was none.
  absl::Status Wait() const;
  // Milliseconds from `begin` to this; both recorded and waited for.
  absl::StatusOr<float> MillisecondsSince(const Event& begin) const;

 private:
  struct Destroy {
    void operator()(cudaEvent_t event) const {
      if (!GpuIsLost()) cudaEventDestroy(event);
    }
  };
  std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, Destroy> event_;
};

// A stream that waits for no other.
class OwnedStream {
 public:
  static absl::StatusOr<OwnedStream> Create();
  Stream get() const { return stream_.get(); }

 private:
  struct Destroy {
    void operator()(Stream stream) const {
      if (!GpuIsLost()) cudaStreamDestroy(stream);
    }
  };
  std::unique_ptr<std::remove_pointer_t<Stream>, Destroy> stream_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_HOST_BUFFER_H_
