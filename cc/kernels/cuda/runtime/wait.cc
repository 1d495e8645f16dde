#include "cc/kernels/cuda/runtime/wait.h"

#include <thread>

#include "absl/strings/str_cat.h"

namespace gemma::cuda {
namespace {

using Clock = std::chrono::steady_clock;

// Decode steps are over before the first sleep, which would delay their tokens.
constexpr std::chrono::milliseconds kAwake{20};
constexpr std::chrono::microseconds kSleep{50};

// query() is cudaErrorNotReady until it is done.
template <typename Query>
absl::Status WaitUntilReady(Query query, absl::string_view what,
                            std::chrono::milliseconds longest) {
  const Clock::time_point start = Clock::now();
  for (cudaError_t error = query(); error != cudaSuccess; error = query()) {
    if (error != cudaErrorNotReady) return ToStatus(error, what);
    cudaGetLastError();  // so that the next call does not report it
    const auto waited = Clock::now() - start;
    if (waited > longest) {
      SetGpuLost();
      return LostGpu(absl::StrCat("has not answered for ", longest.count() / 1000.0, " s"));
    }
    if (waited > kAwake) std::this_thread::sleep_for(kSleep);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WaitForStream(Stream stream, absl::string_view what,
                           std::chrono::milliseconds longest) {
  return WaitUntilReady([&] { return cudaStreamQuery(stream); }, what, longest);
}

absl::Status WaitForEvent(cudaEvent_t event, absl::string_view what,
                          std::chrono::milliseconds longest) {
  return WaitUntilReady([&] { return cudaEventQuery(event); }, what, longest);
}

absl::Status LostGpu(absl::string_view why) {
  return absl::UnavailableError(absl::StrCat(
      "the GPU ", why, ", and this process cannot use it any more (start the program again)"));
}

}  // namespace gemma::cuda
