#include "cc/executor/cuda/key_range.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace gemma {

absl::Status CheckKeyRange(const PlanCache& cache, std::span<const float> k_norm) {
  float largest = 0;
  bool numbers = true;
  for (const float weight : k_norm) {
    largest = std::max(largest, std::abs(weight));
    numbers = numbers && !std::isnan(weight);
  }
  const float key = std::sqrt(static_cast<float>(k_norm.size())) * largest;
  if (numbers && key <= kFloat16Max) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(cache.name, ": its k_norm has ", numbers ? absl::StrCat(largest) : "NaN",
                   ", so that keys may be beyond the ", kFloat16Max,
                   " of the float16 in which CUDA keeps them (use --device cpu)"));
}

}  // namespace gemma
