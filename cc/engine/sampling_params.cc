#include "cc/engine/sampling_params.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace gemma {
namespace {

// Above this, float32, in which the delegate takes top_k, does not hold every integer.
constexpr int64_t kMaxTopK = 1 << 24;
constexpr double kMaxTemperature = 1e6;

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

}  // namespace

absl::Status Validate(const SamplingParams& params) {
  if (!(params.temperature >= 0 && params.temperature <= kMaxTemperature)) {
    return Refuse("temperature is ", params.temperature, " (0 to ", kMaxTemperature,
                  " are allowed; 0 is greedy)");
  }
  // A temperature that float32 cannot hold would silently be greedy.
  if (params.temperature > 0 && static_cast<float>(params.temperature) < 1e-6f) {
    return Refuse("temperature is ", params.temperature,
                  ", which is too small (use 0 for greedy, or at least 1e-6)");
  }
  if (params.top_k < 0 || params.top_k > kMaxTopK) {
    return Refuse("top_k is ", params.top_k, " (0 to ", kMaxTopK, " are allowed; 0 is off)");
  }
  if (!(params.top_p > 0 && params.top_p <= 1) || static_cast<float>(params.top_p) <= 0) {
    return Refuse("top_p is ", params.top_p, " (more than 0 to 1 are allowed; 1 is off)");
  }
  if (!(params.min_p >= 0 && params.min_p <= 1)) {
    return Refuse("min_p is ", params.min_p, " (0 to 1 are allowed; 0 is off)");
  }
  return absl::OkStatus();
}

SamplingParams DefaultSampling(const Manifest& manifest) {
  return {.temperature = manifest.sampling.temperature,
          .top_k = manifest.sampling.top_k,
          .top_p = manifest.sampling.top_p};
}

}  // namespace gemma
