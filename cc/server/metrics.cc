#include "cc/server/metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace gemma::server {
namespace {

std::string Head(absl::string_view name, absl::string_view type, absl::string_view help) {
  return absl::StrCat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

std::string One(absl::string_view name, absl::string_view type, absl::string_view help,
                uint64_t value) {
  return absl::StrCat(Head(name, type, help), name, " ", value, "\n");
}

}  // namespace

void Metrics::Histogram::Add(double value) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), value);
  ++counts[static_cast<size_t>(bound - kBounds.begin())];
  sum += value;
}

std::string Metrics::Histogram::Render(const std::string& name, const std::string& help) const {
  std::string text = Head(name, "histogram", help);
  uint64_t total = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    total += counts[i];
    absl::StrAppend(&text, name, "_bucket{le=\"", kBounds[i], "\"} ", total, "\n");
  }
  total += counts.back();
  absl::StrAppend(&text, name, "_bucket{le=\"+Inf\"} ", total, "\n");
  absl::StrAppend(&text, name, "_sum ", sum, "\n", name, "_count ", total, "\n");
  return text;
}

void Metrics::CountRequest(const std::string& endpoint, int http_status) {
  std::lock_guard lock(mutex_);
  ++requests_[{endpoint, http_status}];
}

void Metrics::CountAnswer(const Answer& answer, bool left, double first_token_seconds,
                          double seconds) {
  std::lock_guard lock(mutex_);
  ++answers_;
  left_ += left ? 1 : 0;
  prompt_tokens_ += static_cast<uint64_t>(answer.prompt_tokens);
  cached_tokens_ += static_cast<uint64_t>(answer.cached_tokens);
  completion_tokens_ += static_cast<uint64_t>(answer.completion_tokens());
  if (first_token_seconds >= 0) first_token_.Add(first_token_seconds);
  answer_.Add(seconds);
}

std::string Metrics::Render(const SchedulerState& state, bool ready) const {
  std::lock_guard lock(mutex_);
  std::string text = Head("gemma_requests_total", "counter", "Requests by endpoint and status.");
  for (const auto& [labels, count] : requests_) {
    absl::StrAppend(&text, "gemma_requests_total{endpoint=\"", labels.first, "\",status=\"",
                    labels.second, "\"} ", count, "\n");
  }
  absl::StrAppend(
      &text, One("gemma_ready", "gauge", "1 once the model is loaded.", ready ? 1 : 0),
      One("gemma_answers_running", "gauge", "Answers being generated.", state.running),
      One("gemma_answers_waiting", "gauge", "Answers in the queue.", state.waiting),
      One("gemma_answers_total", "counter", "Answers that ended.", answers_),
      One("gemma_answers_left_total", "counter", "Answers whose client left.", left_),
      One("gemma_prompt_tokens_total", "counter", "Tokens of prompts.", prompt_tokens_),
      One("gemma_prompt_tokens_cached_total", "counter",
          "Tokens of prompts that were not computed again.", cached_tokens_),
      One("gemma_completion_tokens_total", "counter", "Tokens of answers.", completion_tokens_),
      first_token_.Render("gemma_first_token_seconds",
                          "From a request's submission to its first token."),
      answer_.Render("gemma_answer_seconds", "From a request's submission to its end."));
  return text;
}

}  // namespace gemma::server
