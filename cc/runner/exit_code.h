// Exit codes of the runner: 0 done, 1 failed, 2 wrong call, 130 interrupted.
#ifndef CC_RUNNER_EXIT_CODE_H_
#define CC_RUNNER_EXIT_CODE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace gemma {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

// A call that cannot be meant: exit code 2.
absl::Status UsageError(absl::string_view sentence);

// 0 for OK, 130 for Cancelled, 2 for a UsageError, else 1.
int ExitCode(const absl::Status& status);

}  // namespace gemma

#endif  // CC_RUNNER_EXIT_CODE_H_
