// Waits for the GPU that come to an end: a flag that some kernel never sets, or a GPU that fell off
// the bus, is an error and not a program that hangs.
#ifndef CC_KERNELS_CUDA_RUNTIME_WAIT_H_
#define CC_KERNELS_CUDA_RUNTIME_WAIT_H_

#include <cuda_runtime_api.h>

#include <chrono>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/cuda/runtime/device.h"

namespace gemma::cuda {

// Longer than any call: a chunk of 2,048 tokens takes some seconds on the slowest GPU.
inline constexpr std::chrono::milliseconds kLongestWait{60'000};

// Until all that is in the stream is done. An error of what ran there is that of ToStatus with
// `what`; Unavailable where it is not done after `longest`, and then GpuIsLost (device.h).
absl::Status WaitForStream(Stream stream, absl::string_view what,
                           std::chrono::milliseconds longest = kLongestWait);
// Until what was in the stream before the event is done; as WaitForStream.
absl::Status WaitForEvent(cudaEvent_t event, absl::string_view what,
                          std::chrono::milliseconds longest = kLongestWait);

// The sentence about a lost GPU, whatever it was lost by.
absl::Status LostGpu(absl::string_view why);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_RUNTIME_WAIT_H_
