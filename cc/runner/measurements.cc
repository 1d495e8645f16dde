#include "cc/runner/measurements.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cc/base/sizes.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

std::string Conditions(const BenchConditions& conditions) {
  std::string text = absl::StrFormat(
      "%s on %s; load %.2f s (weights %.2f s), weights %s, session %s", conditions.model,
      conditions.device, conditions.load_seconds, conditions.weights_seconds,
      FormatBytes(conditions.weight_bytes), FormatBytes(conditions.session_bytes));
  absl::StrAppend(&text, ", sampling ", conditions.sampling);
  if (conditions.read_bandwidth > 0) {
    absl::StrAppendFormat(&text, ", read bandwidth %.0f GB/s", conditions.read_bandwidth / 1e9);
  }
  return text;
}

std::string MemoryText(const BenchMemory& memory) {
  std::string text = absl::StrCat("\npeak resident ", FormatBytes(memory.peak_resident_bytes));
  if (memory.device_bytes_used > 0)
    absl::StrAppend(&text, ", GPU memory in use ", FormatBytes(memory.device_bytes_used));
  return absl::StrCat(text, "\n");
}

// Milliseconds to the first token, of a prefill.
double MillisecondsOf(const Measurement& m, const Summary& summary) {
  return 1e3 * static_cast<double>(m.tokens) / summary.mean;
}

double BytesPerSecond(const Measurement& m, const Summary& summary) {
  return m.bytes_per_token * summary.mean;
}

// "2412 GB/s, 78 % of the bandwidth", or "181.5 ms to the first token".
std::string Remark(const BenchConditions& conditions, const Measurement& m,
                   const Summary& summary) {
  if (m.test == "prefill")
    return absl::StrFormat("%.1f ms to the first token", MillisecondsOf(m, summary));
  const double speed = BytesPerSecond(m, summary);
  if (speed <= 0) return "";
  std::string text = absl::StrFormat("%.0f GB/s", speed / 1e9);
  if (conditions.read_bandwidth > 0)
    absl::StrAppendFormat(&text, ", %.0f %% of the bandwidth",
                          100 * speed / conditions.read_bandwidth);
  return text;
}

std::string TableRow(const BenchConditions& conditions, const Measurement& m) {
  const Summary summary = Summarize(m.tokens_per_second);
  return absl::StrFormat("%-8s %7d %8d %5d %9.2f ± %-7.2f %s\n", m.test, m.tokens, m.depth,
                         m.tokens_per_second.size(), summary.mean, summary.deviation,
                         Remark(conditions, m, summary));
}

std::string MarkdownRow(const BenchConditions& conditions, const Measurement& m) {
  const Summary summary = Summarize(m.tokens_per_second);
  return absl::StrFormat("| %s | %d | %d | %d | %.2f ± %.2f | %s |\n", m.test, m.tokens, m.depth,
                         m.tokens_per_second.size(), summary.mean, summary.deviation,
                         Remark(conditions, m, summary));
}

std::string ProfileTitle(const StepProfile& profile) {
  const std::string tokens =
      profile.tokens == 1 ? "one token" : absl::StrCat(profile.tokens, " tokens");
  return absl::StrCat(tokens, " at depth ", profile.depth, ", each kind of step by itself");
}

// What a kind's time is judged by: bytes read of one token's, operations of many tokens'.
std::string ProfileRate(const BenchConditions& conditions, const StepProfile& profile,
                        const StepTime& kind, bool table) {
  const double seconds = 1e-6 * kind.microseconds;
  if (profile.tokens > 1) {
    const double rate = kind.operations / seconds / 1e12;
    return absl::StrFormat(table ? "%8.*f" : "%.*f", rate < 10 ? 3 : 1, rate);
  }
  const double speed = static_cast<double>(kind.bytes_read) / seconds;
  const std::string share = conditions.read_bandwidth > 0
                                ? absl::StrFormat("%.1f", 100 * speed / conditions.read_bandwidth)
                                : "";  // not measured
  return absl::StrFormat(table ? "%8.0f %6s" : "%.0f | %s", speed / 1e9, share);
}

std::string ProfileText(const BenchConditions& conditions, const StepProfile& profile, bool table) {
  const bool many = profile.tokens > 1;
  const std::string title = ProfileTitle(profile);
  std::string text =
      table ? absl::StrFormat("\n%s\n%-44s %5s %10s %s\n", title, "step", "count", "µs",
                              many ? " TFLOP/s" : "    GB/s      %")
            : absl::StrFormat("\n%s:\n\n| step | count | µs | %s |\n|---|---:|---:|%s\n", title,
                              many ? "TFLOP/s" : "GB/s | %", many ? "---:|" : "---:|---:|");
  double total = 0;
  for (const StepTime& kind : profile.kinds) {
    total += kind.microseconds;
    absl::StrAppendFormat(&text, table ? "%-44s %5d %9.1f %s\n" : "| %s | %d | %.1f | %s |\n",
                          kind.kind, kind.steps, kind.microseconds,
                          ProfileRate(conditions, profile, kind, table));
  }
  if (table) {
    absl::StrAppendFormat(&text, "%-44s %5s %9.1f\n", "all", "", total);
  } else {
    absl::StrAppendFormat(&text, "| all | | %.1f |%s\n", total, many ? " |" : " | |");
  }
  return text;
}

nlohmann::ordered_json JsonOf(const Measurement& measurement) {
  const Summary summary = Summarize(measurement.tokens_per_second);
  nlohmann::ordered_json json = {
      {"test", measurement.test},
      {"tokens", measurement.tokens},
      {"depth", measurement.depth},
      {"repetitions", measurement.tokens_per_second.size()},
      {"tokens_per_second", {{"mean", summary.mean}, {"deviation", summary.deviation}}}};
  if (measurement.test == "prefill")
    json["milliseconds_to_first_token"] = MillisecondsOf(measurement, summary);
  if (measurement.bytes_per_token > 0)
    json["bytes_per_second"] = BytesPerSecond(measurement, summary);
  return json;
}

nlohmann::ordered_json JsonOf(const StepProfile& profile) {
  nlohmann::ordered_json kinds = nlohmann::ordered_json::array();
  for (const StepTime& kind : profile.kinds) {
    kinds.push_back({{"step", kind.kind},
                     {"count", kind.steps},
                     {"microseconds", kind.microseconds},
                     {"bytes_read", kind.bytes_read},
                     {"operations", kind.operations}});
  }
  return {{"depth", profile.depth}, {"tokens", profile.tokens}, {"kinds", kinds}};
}

std::string Json(const BenchConditions& conditions, const BenchMemory& memory,
                 const std::vector<Measurement>& measurements,
                 const std::vector<StepProfile>& profiles) {
  nlohmann::ordered_json root = {{"model", conditions.model},
                                 {"device", conditions.device},
                                 {"sampling", conditions.sampling},
                                 {"load_seconds", conditions.load_seconds},
                                 {"weights_seconds", conditions.weights_seconds},
                                 {"weight_bytes", conditions.weight_bytes},
                                 {"session_bytes", conditions.session_bytes},
                                 {"peak_resident_bytes", memory.peak_resident_bytes},
                                 {"device_bytes_used", memory.device_bytes_used},
                                 {"read_bytes_per_second", conditions.read_bandwidth},
                                 {"results", nlohmann::ordered_json::array()},
                                 {"profiles", nlohmann::ordered_json::array()}};
  for (const Measurement& measurement : measurements)
    root["results"].push_back(JsonOf(measurement));
  for (const StepProfile& profile : profiles) root["profiles"].push_back(JsonOf(profile));
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

BenchFormat FindFormat(absl::string_view name) {
  if (name == "json") return BenchFormat::kJson;
  return name == "markdown" ? BenchFormat::kMarkdown : BenchFormat::kTable;
}

BenchReport::BenchReport(BenchFormat format, BenchConditions conditions,
                         std::function<void(const std::string&)> print)
    : format_(format), conditions_(std::move(conditions)), print_(std::move(print)) {
  if (format_ == BenchFormat::kTable) {
    print_(absl::StrCat(Conditions(conditions_), "\ntest      tokens    depth  runs  tokens/s\n"));
  } else if (format_ == BenchFormat::kMarkdown) {
    print_(absl::StrCat(Conditions(conditions_),
                        "\n\n| test | tokens | depth | runs | tokens/s | |",
                        "\n|---|---:|---:|---:|---:|---|\n"));
  }
}

void BenchReport::Add(const Measurement& measurement) {
  if (format_ == BenchFormat::kTable) print_(TableRow(conditions_, measurement));
  if (format_ == BenchFormat::kMarkdown) print_(MarkdownRow(conditions_, measurement));
  measurements_.push_back(measurement);
}

void BenchReport::Add(const StepProfile& profile) {
  if (format_ != BenchFormat::kJson)
    print_(ProfileText(conditions_, profile, format_ == BenchFormat::kTable));
  profiles_.push_back(profile);
}

void BenchReport::Finish(const BenchMemory& memory) {
  print_(format_ == BenchFormat::kJson ? Json(conditions_, memory, measurements_, profiles_)
                                       : MemoryText(memory));
}

}  // namespace gemma
