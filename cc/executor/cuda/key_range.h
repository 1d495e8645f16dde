// Whether a layer's keys fit float16. A key is rope(norm(k) * k_norm): a normed head of d numbers
// has none beyond sqrt(d), and rope turns pairs, so no number of a key is beyond sqrt(d) times the
// largest of k_norm. (Normed values have none beyond sqrt(d) <= 22.7; a value that is not normed
// and becomes infinite makes the logits NaN, which is an error too.)
#ifndef CC_EXECUTOR_CUDA_KEY_RANGE_H_
#define CC_EXECUTOR_CUDA_KEY_RANGE_H_

#include <span>

#include "absl/status/status.h"
#include "cc/plan/plan.h"

namespace gemma {

// k_norm: [head_dim]. FailedPrecondition names the cache and both numbers.
absl::Status CheckKeyRange(const PlanCache& cache, std::span<const float> k_norm);

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_KEY_RANGE_H_
