// Sampling parameters (cc/kernels/sampling_params.h) before they reach the model.
#ifndef CC_ENGINE_CHECK_SAMPLING_H_
#define CC_ENGINE_CHECK_SAMPLING_H_

#include "absl/status/status.h"
#include "cc/kernels/sampling_params.h"

namespace gemma {

// InvalidArgument with the parameter's name, its value and what is allowed.
absl::Status CheckSampling(const SamplingParams& params);

}  // namespace gemma

#endif  // CC_ENGINE_CHECK_SAMPLING_H_
