// What a plan's steps take on the CPU: their times, by kind, beside what they read and compute.
#ifndef CC_EXECUTOR_CPU_PROFILE_H_
#define CC_EXECUTOR_CPU_PROFILE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "cc/executor/step_time.h"
#include "cc/plan/plan.h"

namespace gemma {

// The steps by kind, in the order in which kinds first appear. seconds: [steps], of each step of
// one call. The keys and values that attention reads are those that the call's last token sees.
std::vector<StepTime> ProfileByKind(const Plan& plan, int64_t start, int64_t tokens,
                                    std::span<const double> seconds);

}  // namespace gemma

#endif  // CC_EXECUTOR_CPU_PROFILE_H_
