// Reads weights as loading them would, without memory for them: what is wrong with their bytes is
// found, and nothing is kept.
#ifndef CC_ENGINE_READ_THROUGH_H_
#define CC_ENGINE_READ_THROUGH_H_

#include <span>

#include "absl/status/status.h"
#include "cc/plan/plan.h"
#include "cc/weights/weight_source.h"

namespace gemma {

// The error that loading `weights`, those of all plans, from `source` would end in.
absl::Status ReadThrough(std::span<const PlanWeight> weights, WeightSource& source);

}  // namespace gemma

#endif  // CC_ENGINE_READ_THROUGH_H_
