#include "cc/runner/exit_code.h"

#include "absl/strings/cord.h"

namespace gemma {
namespace {

// Marks a status as a usage error; its codes are the same as those of failures.
constexpr char kUsagePayload[] = "gemma.runner/usage";

}  // namespace

absl::Status UsageError(absl::string_view sentence) {
  absl::Status status = absl::InvalidArgumentError(sentence);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  if (absl::IsCancelled(status)) return kExitInterrupted;
  return status.GetPayload(kUsagePayload).has_value() ? kExitUsage : kExitFailed;
}

}  // namespace gemma
