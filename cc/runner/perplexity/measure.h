// Runs a model over a text in windows and collects what it says of every token.
//
// Each window begins anew (with BOS where the model wants one), so a token sees at most
// window - 1 tokens before it. Every token but the first of a window is a position; after a BOS the
// first token of the text is one too.
#ifndef CC_RUNNER_PERPLEXITY_MEASURE_H_
#define CC_RUNNER_PERPLEXITY_MEASURE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/session.h"
#include "cc/runner/perplexity/reference_file.h"

namespace gemma::perplexity {

struct Text {
  std::vector<int32_t> tokens;  // without BOS
  int64_t window = 0;           // 2 or more
  int32_t bos_id = -1;          // -1: windows begin with the text
};

// The windows' tokens, BOS included; one that has no position is left out.
std::vector<std::vector<int32_t>> CutWindows(const Text& text);
int64_t CountPositions(const Text& text);

struct Measurement {
  std::vector<double> surprise = {};            // -log Q of each position's token, nats
  std::vector<double> reference_surprise = {};  // the same of the reference; empty without one
  std::vector<double> kl = {};
  std::vector<double> same_top = {};  // 1 or 0
};

// Called with the positions done and those that there are.
using MeasureProgress = std::function<void(int64_t done, int64_t total)>;

// By the method score: many tokens a call.
absl::StatusOr<Measurement> MeasureText(Session& session, const Text& text,
                                        const MeasureProgress& progress);

// With all logits, one token a call; writes the top_k of each position into a file.
absl::StatusOr<Measurement> WriteReference(Session& session, const Text& text, int64_t vocab_size,
                                           int64_t top_k, const std::string& path,
                                           const MeasureProgress& progress);

// With all logits, one token a call, on the reference's own text.
absl::StatusOr<Measurement> CompareWithReference(Session& session, ReferenceReader& reference,
                                                 const MeasureProgress& progress);

// The reference's text. InvalidArgument, with both numbers, where the model has another vocabulary
// or a shorter context.
absl::StatusOr<Text> TextOf(const ReferenceReader& reference, int64_t vocab_size,
                            int64_t max_seq_len);

}  // namespace gemma::perplexity

#endif  // CC_RUNNER_PERPLEXITY_MEASURE_H_
