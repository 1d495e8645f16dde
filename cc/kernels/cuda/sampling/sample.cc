#include "cc/kernels/cuda/sampling/sample.h"

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma::cuda {
namespace {

// Histograms and a grid barrier (params.h).
constexpr Region kState{"sample: histograms and a barrier", sizeof(SampleState), /*zeroed=*/true};

}  // namespace

Regions SampleRegions() { return {kState}; }

absl::Status RunSample(float* logits, int64_t vocab, const SuppressedIds& suppressed,
                       const SampleRequest* request, int64_t* token, const Context& context) {
  if (vocab < 1 || vocab > kMaxSampledIds) {
    return absl::InvalidArgumentError(
        absl::StrCat("sample: ", vocab, " ids (1 to ", kMaxSampledIds, ")"));
  }
  GEMMA_ASSIGN_OR_RETURN(SampleState* const state, context.workspace->Find<SampleState>(kState));
  const SampleParams params{logits, suppressed, static_cast<int32_t>(vocab), request, state, token};
  return ToStatus(LaunchSample(params, context.overlap, context.stream), "sample");
}

absl::Status RunScore(const ScoreParams& op, const Context& context) {
  if (op.tokens < 1 || op.vocab < 1 || op.top < 0 || op.top > op.vocab) {
    return absl::InvalidArgumentError(absl::StrCat("score: the top ", op.top, " of ", op.vocab,
                                                   " ids for ", op.tokens, " tokens"));
  }
  return ToStatus(LaunchScore(op, context.stream), "score");
}

}  // namespace gemma::cuda
