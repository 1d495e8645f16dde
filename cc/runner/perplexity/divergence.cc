#include "cc/runner/perplexity/divergence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace gemma::perplexity {
namespace {

// log sum exp(logits) over the ids that `leave_out` does not mark; -inf for none.
double LogSum(std::span<const float> logits, const std::vector<bool>& leave_out) {
  double top = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!leave_out[i]) top = std::max(top, static_cast<double>(logits[i]));
  }
  if (std::isinf(top)) return top;
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!leave_out[i]) sum += std::exp(logits[i] - top);
  }
  return top + std::log(sum);
}

std::vector<bool> Marked(size_t size, const std::vector<uint32_t>& ids) {
  std::vector<bool> marked(size, false);
  for (const uint32_t id : ids) marked[id] = true;
  return marked;
}

std::vector<uint32_t> TopIds(std::span<const float> logits, size_t top_k) {
  std::vector<uint32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0u);
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(top_k), ids.end(),
                    [&](uint32_t a, uint32_t b) {
                      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
                    });
  ids.resize(top_k);
  return ids;
}

// One outcome's share; an outcome that the reference excludes has none.
double Share(double log_p, double log_q) {
  const double p = std::exp(log_p);
  return p == 0 ? 0 : p * (log_p - log_q);
}

}  // namespace

ReferencePosition Summarize(std::span<const float> logits, int32_t next, size_t top_k) {
  const double total = LogSum(logits, std::vector<bool>(logits.size(), false));
  ReferencePosition position;
  position.ids = TopIds(logits, top_k);
  for (const uint32_t id : position.ids)
    position.logprobs.push_back(static_cast<float>(logits[id] - total));
  position.next_logprob = static_cast<float>(logits[static_cast<size_t>(next)] - total);
  position.rest_logprob =
      static_cast<float>(LogSum(logits, Marked(logits.size(), position.ids)) - total);
  return position;
}

PositionDivergence Compare(const ReferencePosition& reference, std::span<const float> logits,
                           int32_t next) {
  const double total = LogSum(logits, std::vector<bool>(logits.size(), false));
  PositionDivergence result;
  for (size_t i = 0; i < reference.ids.size(); ++i)
    result.kl += Share(reference.logprobs[i], logits[reference.ids[i]] - total);
  const double rest = LogSum(logits, Marked(logits.size(), reference.ids)) - total;
  result.kl += Share(reference.rest_logprob, rest);
  result.same_top = TopIds(logits, 1)[0] == reference.ids[0];
  result.surprise = total - logits[static_cast<size_t>(next)];
  return result;
}

Estimate EstimateMean(std::span<const double> values) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  if (values.size() < 2) return {mean, std::nan("")};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (count - 1) / count)};
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (place - static_cast<double>(low)) * (values[high] - values[low]);
}

}  // namespace gemma::perplexity
