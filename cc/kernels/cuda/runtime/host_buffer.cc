#include "cc/kernels/cuda/runtime/host_buffer.h"

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/runtime/wait.h"

namespace gemma::cuda {

absl::StatusOr<HostBuffer> HostBuffer::Allocate(size_t bytes, absl::string_view what) {
  void* memory = nullptr;
  const cudaError_t error = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
  if (error != cudaSuccess) {
    cudaGetLastError();  // so that the next call does not report it again
    return ToStatus(error, absl::StrCat("cannot pin ", bytes, " bytes of memory for ", what));
  }
  HostBuffer buffer;
  buffer.data_.reset(memory);
  buffer.bytes_ = bytes;
  return buffer;
}

absl::Status Event::Record(Stream stream) {
  if (event_ == nullptr) {
    cudaEvent_t event = nullptr;
    GEMMA_RETURN_IF_ERROR(ToStatus(cudaEventCreate(&event), "cannot create an event"));
    event_.reset(event);
  }
  return ToStatus(cudaEventRecord(event_.get(), stream), "cannot record an event");
}

absl::Status Event::Wait() const {
  if (event_ == nullptr) return absl::OkStatus();
  return WaitForEvent(event_.get(), "cannot wait for the GPU");
}

absl::StatusOr<float> Event::MillisecondsSince(const Event& begin) const {
  float milliseconds = 0;
  GEMMA_RETURN_IF_ERROR(ToStatus(
      cudaEventElapsedTime(&milliseconds, begin.event_.get(), event_.get()), "cannot take a time"));
  return milliseconds;
}

absl::StatusOr<OwnedStream> OwnedStream::Create() {
  Stream stream = nullptr;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                                 "cannot create a stream"));
  OwnedStream owned;
  owned.stream_.reset(stream);
  return owned;
}

}  // namespace gemma::cuda
