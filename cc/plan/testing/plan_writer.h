// Writes a Plan as a delegate's payload (cc/plan/plan.fbs), right or wrong: what a test spoiled
// is written as it is.
#ifndef CC_PLAN_TESTING_PLAN_WRITER_H_
#define CC_PLAN_TESTING_PLAN_WRITER_H_

#include <cstdint>
#include <string>

#include "cc/plan/plan.h"

namespace gemma {

std::string WritePlan(const Plan& plan, uint32_t version = 1);

}  // namespace gemma

#endif  // CC_PLAN_TESTING_PLAN_WRITER_H_
