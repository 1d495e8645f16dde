#include "cc/runner/perplexity/report.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace gemma::perplexity {
namespace {

// exp of the mean; its error to first order.
Estimate Perplexity(const std::vector<double>& surprise) {
  const Estimate mean = EstimateMean(surprise);
  const double value = std::exp(mean.mean);
  return {value, value * mean.error};
}

// Of paired positions, so that what both find hard does not count.
Estimate LogRatio(const Measurement& measurement) {
  std::vector<double> difference;
  for (size_t i = 0; i < measurement.surprise.size(); ++i)
    difference.push_back(measurement.surprise[i] - measurement.reference_surprise[i]);
  return EstimateMean(difference);
}

std::string Line(absl::string_view name, const Estimate& estimate) {
  return absl::StrFormat("%-24s%.6g +- %.2g\n", name, estimate.mean, estimate.error);
}

nlohmann::ordered_json Json(const Estimate& estimate) {
  nlohmann::ordered_json json = {{"mean", estimate.mean}};
  json["standard_error"] = std::isnan(estimate.error) ? nlohmann::ordered_json(nullptr)
                                                      : nlohmann::ordered_json(estimate.error);
  return json;
}

}  // namespace

std::string TableReport(const Measurement& measurement, int64_t top_k, int64_t vocab_size) {
  std::string text = absl::StrFormat("%-24s%d\n", "positions", measurement.surprise.size());
  absl::StrAppend(&text, Line("perplexity", Perplexity(measurement.surprise)));
  if (measurement.kl.empty()) return text;
  const std::string outcomes = top_k == vocab_size
                                   ? "the full vocabulary"
                                   : absl::StrCat("the reference's top ", top_k, " and the rest");
  absl::StrAppend(&text, Line("reference's perplexity", Perplexity(measurement.reference_surprise)),
                  Line("log of their ratio", LogRatio(measurement)),
                  Line("KL, mean", EstimateMean(measurement.kl)),
                  absl::StrFormat("%-24s%.6g\n", "KL, median", Quantile(measurement.kl, 0.5)),
                  absl::StrFormat("%-24s%.6g\n", "KL, 99 %", Quantile(measurement.kl, 0.99)),
                  absl::StrFormat("%-24s%s, in nats\n", "KL is over", outcomes),
                  Line("same most likely token", EstimateMean(measurement.same_top)));
  return text;
}

std::string JsonReport(const Measurement& measurement, int64_t top_k, int64_t vocab_size) {
  nlohmann::ordered_json report = {{"positions", measurement.surprise.size()},
                                   {"perplexity", Json(Perplexity(measurement.surprise))}};
  if (!measurement.kl.empty()) {
    report["reference_perplexity"] = Json(Perplexity(measurement.reference_surprise));
    report["log_perplexity_ratio"] = Json(LogRatio(measurement));
    report["kl"] = Json(EstimateMean(measurement.kl));
    report["kl"]["median"] = Quantile(measurement.kl, 0.5);
    report["kl"]["quantile_99"] = Quantile(measurement.kl, 0.99);
    report["kl"]["top_k"] = top_k;
    report["kl"]["vocab_size"] = vocab_size;
    report["same_top"] = Json(EstimateMean(measurement.same_top));
  }
  return report.dump() + "\n";
}

}  // namespace gemma::perplexity
