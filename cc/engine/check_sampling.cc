#include "cc/engine/check_sampling.h"

#include <string>

namespace gemma {

absl::Status CheckSampling(const SamplingParams& params) {
  const std::string problem = SamplingProblem(params);
  return problem.empty() ? absl::OkStatus() : absl::InvalidArgumentError(problem);
}

}  // namespace gemma
