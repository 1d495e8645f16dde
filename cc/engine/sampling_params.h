// How tokens are drawn, as a user states it; cc/kernels/operations.h says what each number does.
#ifndef CC_ENGINE_SAMPLING_PARAMS_H_
#define CC_ENGINE_SAMPLING_PARAMS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cc/engine/manifest.h"

namespace gemma {

struct SamplingParams {
  double temperature = 0;  // 0: always the most likely token
  int64_t top_k = 0;       // 0: off
  double top_p = 1;        // 1: off
  double min_p = 0;        // 0: off
  uint64_t seed = 0;       // same seed, same text
};

// The one place that judges them. InvalidArgument with the parameter's name, its value and what is
// allowed.
absl::Status Validate(const SamplingParams& params);

// The checkpoint's own parameters.
SamplingParams DefaultSampling(const Manifest& manifest);

}  // namespace gemma

#endif  // CC_ENGINE_SAMPLING_PARAMS_H_
