// Writes a Plan as a delegate's payload (cc/delegate/plan.fbs), right or wrong: what a test spoiled
// is written as it is.
#ifndef CC_DELEGATE_TESTING_PLAN_WRITER_H_
#define CC_DELEGATE_TESTING_PLAN_WRITER_H_

#include <cstdint>
#include <string>

#include "cc/delegate/plan.h"

namespace gemma {

std::string WritePlan(const Plan& plan, uint32_t version = 1);

}  // namespace gemma

#endif  // CC_DELEGATE_TESTING_PLAN_WRITER_H_
