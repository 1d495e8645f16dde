#include "cc/plan/call.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckIds(absl::string_view what, std::span<const int64_t> ids, int64_t least,
                      int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < least || ids[i] >= vocab_size) {
      return absl::OutOfRangeError(absl::StrCat(
          what, " ", i, " has id ", ids[i], ", which is not in [", least, ", ", vocab_size, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckScoreResults(const Plan& plan, const Call& call, const CallResults& results) {
  const size_t tokens = call.tokens.size();
  if (call.targets.size() != tokens)
    return Refuse(call.targets.size(), " targets for ", tokens, " tokens");
  const size_t top = tokens * static_cast<size_t>(plan.ScoreTop());
  if (results.logprobs.size() != tokens || results.top_ids.size() != top ||
      results.top_logprobs.size() != top) {
    return Refuse("results have room for ", results.logprobs.size(), ", ", results.top_ids.size(),
                  " and ", results.top_logprobs.size(), " numbers instead of ", tokens, ", ", top,
                  " and ", top);
  }
  return CheckIds("target", call.targets, -1, plan.vocab_size);
}

}  // namespace

absl::Status CheckSuppressedIds(const Plan& plan, std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= plan.vocab_size) {
      return Refuse("suppressed id ", id, " is not among the model's ", plan.vocab_size, " tokens");
    }
  }
  if (static_cast<int64_t>(ids.size()) < plan.vocab_size) return absl::OkStatus();
  return Refuse(ids.size(), " ids are suppressed, but the model has ", plan.vocab_size,
                " tokens, so none would be left to draw");
}

absl::Status CheckCall(const Plan& plan, const Call& call, const CallResults& results) {
  const auto tokens = static_cast<int64_t>(call.tokens.size());
  if (tokens < 1 || tokens > plan.max_tokens) {
    return Refuse(PlanMethodName(plan.method), " takes 1 to ", plan.max_tokens,
                  " tokens a call, not ", tokens);
  }
  GEMMA_RETURN_IF_ERROR(CheckIds("token", call.tokens, 0, plan.vocab_size));
  if (plan.method == PlanMethod::kScore) return CheckScoreResults(plan, call, results);
  if (results.token == nullptr)
    return Refuse(PlanMethodName(plan.method), " has no room for its token");
  if (!results.logits.empty() && static_cast<int64_t>(results.logits.size()) != plan.vocab_size) {
    return Refuse("results have room for ", results.logits.size(), " logits instead of ",
                  plan.vocab_size);
  }
  const std::string problem = SamplingProblem(call.sampling);
  return problem.empty() ? absl::OkStatus() : Refuse(problem);
}

}  // namespace gemma
