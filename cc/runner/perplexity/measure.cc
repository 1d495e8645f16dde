#include "cc/runner/perplexity/measure.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma::perplexity {
namespace {

// Gives the windows to the session token by token. `visit` gets the logits of each position and the
// token that follows.
absl::Status VisitLogits(
    Session& session, const Text& text, int64_t vocab_size, const MeasureProgress& progress,
    const std::function<absl::Status(std::span<const float>, int32_t)>& visit) {
  std::vector<float> logits(static_cast<size_t>(vocab_size));
  const int64_t total = CountPositions(text);
  int64_t done = 0;
  for (const std::vector<int32_t>& window : CutWindows(text)) {
    GEMMA_RETURN_IF_ERROR(session.Rewind(0));
    for (size_t i = 0; i + 1 < window.size(); ++i) {
      GEMMA_RETURN_IF_ERROR(session.Append(std::span(window).subspan(i, 1), logits));
      GEMMA_RETURN_IF_ERROR(visit(logits, window[i + 1]));
      progress(++done, total);
    }
  }
  return absl::OkStatus();
}

ReferenceHeader HeaderOf(const Text& text, int64_t vocab_size, int64_t top_k) {
  return {.vocab_size = static_cast<uint32_t>(vocab_size),
          .top_k = static_cast<uint32_t>(top_k),
          .window = static_cast<uint32_t>(text.window),
          .bos_id = text.bos_id,
          .positions = static_cast<uint64_t>(CountPositions(text)),
          .tokens = {text.tokens.begin(), text.tokens.end()}};
}

}  // namespace

std::vector<std::vector<int32_t>> CutWindows(const Text& text) {
  std::vector<std::vector<int32_t>> windows;
  const bool has_bos = text.bos_id >= 0;
  const size_t content = static_cast<size_t>(text.window) - (has_bos ? 1 : 0);
  const std::span<const int32_t> all = text.tokens;
  for (size_t start = 0; start < all.size(); start += content) {
    std::vector<int32_t> window;
    if (has_bos) window.push_back(text.bos_id);
    for (const int32_t token : all.subspan(start, std::min(content, all.size() - start)))
      window.push_back(token);
    if (window.size() >= 2) windows.push_back(std::move(window));
  }
  return windows;
}

int64_t CountPositions(const Text& text) {
  int64_t count = 0;
  for (const std::vector<int32_t>& window : CutWindows(text))
    count += static_cast<int64_t>(window.size()) - 1;
  return count;
}

absl::StatusOr<Measurement> MeasureText(Session& session, const Text& text,
                                        const MeasureProgress& progress) {
  Measurement measurement;
  const int64_t total = CountPositions(text);
  for (const std::vector<int32_t>& window : CutWindows(text)) {
    GEMMA_RETURN_IF_ERROR(session.Rewind(0));
    GEMMA_ASSIGN_OR_RETURN(const std::vector<TokenScore> scores, session.Score(window));
    for (size_t i = 0; i + 1 < window.size(); ++i)
      measurement.surprise.push_back(-scores[i].next_logprob);
    progress(static_cast<int64_t>(measurement.surprise.size()), total);
  }
  return measurement;
}

absl::StatusOr<Measurement> WriteReference(Session& session, const Text& text, int64_t vocab_size,
                                           int64_t top_k, const std::string& path,
                                           const MeasureProgress& progress) {
  GEMMA_ASSIGN_OR_RETURN(ReferenceWriter writer,
                         ReferenceWriter::Create(path, HeaderOf(text, vocab_size, top_k)));
  Measurement measurement;
  const auto visit = [&](std::span<const float> logits, int32_t next) {
    const ReferencePosition position = Summarize(logits, next, static_cast<size_t>(top_k));
    measurement.surprise.push_back(-position.next_logprob);
    return writer.Add(position);
  };
  GEMMA_RETURN_IF_ERROR(VisitLogits(session, text, vocab_size, progress, visit));
  GEMMA_RETURN_IF_ERROR(writer.Finish());
  return measurement;
}

absl::StatusOr<Measurement> CompareWithReference(Session& session, ReferenceReader& reference,
                                                 const MeasureProgress& progress) {
  const ReferenceHeader& header = reference.header();
  const Text text = {{header.tokens.begin(), header.tokens.end()}, header.window, header.bos_id};
  Measurement measurement;
  const auto visit = [&](std::span<const float> logits, int32_t next) -> absl::Status {
    GEMMA_ASSIGN_OR_RETURN(const ReferencePosition position, reference.Next());
    const PositionDivergence divergence = Compare(position, logits, next);
    measurement.surprise.push_back(divergence.surprise);
    measurement.reference_surprise.push_back(-position.next_logprob);
    measurement.kl.push_back(divergence.kl);
    measurement.same_top.push_back(divergence.same_top ? 1 : 0);
    return absl::OkStatus();
  };
  GEMMA_RETURN_IF_ERROR(VisitLogits(session, text, header.vocab_size, progress, visit));
  GEMMA_RETURN_IF_ERROR(reference.Finish());
  return measurement;
}

absl::StatusOr<Text> TextOf(const ReferenceReader& reference, int64_t vocab_size,
                            int64_t max_seq_len) {
  const ReferenceHeader& header = reference.header();
  if (header.vocab_size != vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the reference has a vocabulary of ", header.vocab_size,
                     ", but this model has ", vocab_size, " (compare models of one tokenizer)"));
  }
  if (header.window > max_seq_len) {
    return absl::InvalidArgumentError(
        absl::StrCat("the reference has windows of ", header.window,
                     " tokens, but the context of this artifact ends at ", max_seq_len,
                     " (write the reference with a smaller --window)"));
  }
  const auto inside = [&](uint32_t token) { return token < header.vocab_size; };
  const bool has_bos = header.bos_id < 0 || inside(static_cast<uint32_t>(header.bos_id));
  if (!has_bos || !std::all_of(header.tokens.begin(), header.tokens.end(), inside)) {
    return absl::InvalidArgumentError(
        "the reference has tokens that are not in its vocabulary (write it again)");
  }
  Text text = {{header.tokens.begin(), header.tokens.end()}, header.window, header.bos_id};
  const auto positions = static_cast<uint64_t>(CountPositions(text));
  if (positions == header.positions) return text;
  return absl::InvalidArgumentError(absl::StrCat("the reference has ", header.positions,
                                                 " positions, but its text has ", positions,
                                                 " (write it again)"));
}

}  // namespace gemma::perplexity
