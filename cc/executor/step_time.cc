#include "cc/executor/step_time.h"

#include "absl/strings/str_cat.h"

namespace gemma {

std::string StepKind(absl::string_view step) {
  std::string kind;
  for (const char c : step) {
    const bool digit = c >= '0' && c <= '9';
    const bool starts = kind.empty() || kind.back() == '.' || kind.back() == '*';
    if (digit && starts) {
      if (kind.empty() || kind.back() != '*') kind += '*';
    } else {
      kind += c;
    }
  }
  return kind;
}

absl::Status CheckProfile(const Plan& plan, int64_t start, int64_t tokens) {
  if (plan.method != PlanMethod::kScore && tokens >= 1 && tokens <= plan.max_tokens && start >= 0 &&
      start <= plan.max_context - tokens)
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "no profile of ", PlanMethodName(plan.method), " with ", tokens, " tokens at position ",
      start, " (at most ", plan.max_tokens, " of ", plan.max_context, " positions)"));
}

}  // namespace gemma
