// Everything that must be true of a plan before memory is taken for it or a step of it runs. The
// kernels check nothing, so what is not refused here may read or write outside of its buffers.
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

// The largest numbers that a plan may carry. They keep every product of two of them within 64 bits.
inline constexpr int64_t kMaxVocab = 1 << 22;
inline constexpr int64_t kMaxColumns = 1 << 22;
inline constexpr int64_t kMaxTokens = 1 << 16;
inline constexpr int64_t kMaxContext = 1 << 24;
inline constexpr int64_t kMaxHeads = 1 << 12;

// Checks weights, caches, values and steps against one another. Fills in the caches' `bytes`.
absl::Status CheckPlan(Plan& plan);

// ReadPlan, then CheckPlan; and the plan must be that of the method named `method`.
absl::StatusOr<Plan> ReadCheckedPlan(std::span<const std::byte> payload, absl::string_view method);

}  // namespace gemma

#endif  // CC_PLAN_PLAN_CHECK_H_
