#include "cc/runner/measurements.h"

#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

std::string Conditions(const BenchConditions& conditions) {
  return absl::StrFormat("%s on %s; load %.2f s, weights %.1f MB, session %.1f MB, peak resident %.1f MB",
                         conditions.model, conditions.device, conditions.load_seconds, conditions.weight_bytes / 1e6,
                         conditions.session_bytes / 1e6, conditions.peak_resident_bytes / 1e6);
}

std::string TableRow(const Measurement& m) {
  const Summary summary = Summarize(m.tokens_per_second);
  return absl::StrFormat("%-8s %7d %8d %5d %9.2f ± %.2f\n", m.test, m.tokens, m.depth, m.tokens_per_second.size(),
                         summary.mean, summary.deviation);
}

std::string MarkdownRow(const Measurement& m) {
  const Summary summary = Summarize(m.tokens_per_second);
  return absl::StrFormat("| %s | %d | %d | %d | %.2f ± %.2f |\n", m.test, m.tokens, m.depth,
                         m.tokens_per_second.size(), summary.mean, summary.deviation);
}

std::string Json(const BenchConditions& conditions, const std::vector<Measurement>& measurements) {
  nlohmann::ordered_json root = {{"model", conditions.model},
                                 {"device", conditions.device},
                                 {"load_seconds", conditions.load_seconds},
                                 {"weight_bytes", conditions.weight_bytes},
                                 {"session_bytes", conditions.session_bytes},
                                 {"peak_resident_bytes", conditions.peak_resident_bytes},
                                 {"results", nlohmann::ordered_json::array()}};
  for (const Measurement& measurement : measurements) {
    const Summary summary = Summarize(measurement.tokens_per_second);
    root["results"].push_back({{"test", measurement.test},
                               {"tokens", measurement.tokens},
                               {"depth", measurement.depth},
                               {"repetitions", measurement.tokens_per_second.size()},
                               {"tokens_per_second", {{"mean", summary.mean}, {"deviation", summary.deviation}}}});
  }
  return root.dump(2) + "\n";
}

}  // namespace

Summary Summarize(const std::vector<double>& values) {
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / values.size();
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double deviation = values.size() > 1 ? std::sqrt(squares / (values.size() - 1)) : 0;
  return {mean, deviation};
}

std::string FormatBench(const BenchConditions& conditions, const std::vector<Measurement>& measurements,
                        BenchFormat format) {
  if (format == BenchFormat::kJson) return Json(conditions, measurements);
  const bool table = format == BenchFormat::kTable;
  std::string text = Conditions(conditions);
  text += table ? "\ntest      tokens    depth  runs  tokens/s\n"
                : "\n\n| test | tokens | depth | runs | tokens/s |\n|---|---:|---:|---:|---:|\n";
  for (const Measurement& measurement : measurements) {
    text += table ? TableRow(measurement) : MarkdownRow(measurement);
  }
  return text;
}

}  // namespace gemma
