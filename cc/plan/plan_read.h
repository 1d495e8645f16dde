// From a delegate's payload (the FlatBuffers of cc/plan/plan.fbs) to plain data. Proves that
// the bytes are well formed, that counts and names keep within limits and that enums have known
// values. What the numbers mean to one another is plan_check's business.
//
// This is the only file that sees the schema's generated code.
#ifndef CC_PLAN_PLAN_READ_H_
#define CC_PLAN_PLAN_READ_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "cc/plan/plan.h"

namespace gemma {

// The payload's contents, unchecked beyond what is said above. InvalidArgument with one sentence.
absl::StatusOr<Plan> ReadPlan(std::span<const std::byte> payload);

}  // namespace gemma

#endif  // CC_PLAN_PLAN_READ_H_
