// Everything that must be true of a plan before memory is taken for it or a step of it runs. The
// kernels check nothing, so what is not refused here may read or write outside of its buffers.
// python/plan/plan_check.py refuses the same plans at export (and some more, which export never
// writes); border_plans_test holds both to it. The largest numbers are those of limits.json.
//
// Every message names the step, weight, cache or value, and both numbers.
#ifndef CC_PLAN_PLAN_CHECK_H_
#define CC_PLAN_PLAN_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/plan/plan.h"

namespace gemma {

// Checks weights, caches, values and steps against one another. Fills in the caches' `bytes`.
absl::Status CheckPlan(Plan& plan);

// ReadPlan, then CheckPlan; and the plan must be that of the method named `method`.
absl::StatusOr<Plan> ReadCheckedPlan(std::span<const std::byte> payload, absl::string_view method);

}  // namespace gemma

#endif  // CC_PLAN_PLAN_CHECK_H_
