#include "cc/runner/measurements.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

const std::vector<Measurement> kMeasurements = {
    {.test = "prefill", .tokens = 512, .depth = 0, .tokens_per_second = {100, 110, 120}},
    {.test = "decode",
     .tokens = 64,
     .depth = 512,
     .tokens_per_second = {50},
     .bytes_per_token = 20e9}};
const BenchConditions kConditions = {.model = "tiny",
                                     .device = "CPU",
                                     .sampling = "model",
                                     .load_seconds = 0.5,
                                     .weights_seconds = 0.25,
                                     .read_bandwidth = 2e12};
const std::vector<StepProfile> kProfiles = {
    {512, 1, {{"layers.*.down", 60, 1000, 1'000'000'000, 1e9}}},
    {0, 2048, {{"layers.*.down", 60, 1000, 1'000'000'000, 5e11}}}};

std::string Report(BenchFormat format) {
  std::string text;
  BenchReport report(format, kConditions, [&](const std::string& part) { text += part; });
  for (const Measurement& measurement : kMeasurements) report.Add(measurement);
  for (const StepProfile& profile : kProfiles) report.Add(profile);
  report.Finish({.peak_resident_bytes = 1'500'000, .device_bytes_used = 20'000'000'000});
  return text;
}

TEST(Summarize, IsMeanAndSampleDeviation) {
  const Summary summary = Summarize({100, 110, 120});
  EXPECT_DOUBLE_EQ(summary.mean, 110);
  EXPECT_DOUBLE_EQ(summary.deviation, 10);
  EXPECT_DOUBLE_EQ(Summarize({7}).deviation, 0);
}

TEST(BenchReport, TableAndMarkdownHaveARowForEachMeasurement) {
  const std::string table = Report(BenchFormat::kTable);
  EXPECT_NE(table.find(", sampling model, read bandwidth 2000 GB/s"), std::string::npos) << table;
  EXPECT_NE(table.find("110.00 ± 10.00"), std::string::npos) << table;
  const std::string markdown = Report(BenchFormat::kMarkdown);
  EXPECT_NE(markdown.find("| decode | 64 | 512 | 1 | 50.00 ± 0.00 | 1000 GB/s, 50 % of the "
                          "bandwidth |"),
            std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("| layers.*.down | 60 | 1000.0 | 1000 | 50.0 |"), std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("2048 tokens at depth 0, each kind of step by itself:"),
            std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("| layers.*.down | 60 | 1000.0 | 500.0 |"), std::string::npos)
      << markdown;
  EXPECT_NE(table.find("4654.5 ms to the first token"), std::string::npos) << table;
  EXPECT_NE(table.find("\npeak resident 1.50 MB, GPU memory in use 20.0 GB\n"), std::string::npos)
      << table;
}

TEST(BenchReport, PrintsARowAsSoonAsItIsMeasured) {
  for (const BenchFormat format : {BenchFormat::kTable, BenchFormat::kMarkdown}) {
    std::string text;
    BenchReport report(format, kConditions, [&](const std::string& part) { text += part; });
    report.Add(kMeasurements[0]);
    EXPECT_NE(text.find("110.00 ± 10.00"), std::string::npos) << text;
  }
}

// As on a CPU: small rates keep their digits, and a bandwidth that nobody measured has no share.
TEST(BenchReport, AProfileWithoutABandwidth) {
  BenchConditions conditions = kConditions;
  conditions.read_bandwidth = 0;
  std::string text;
  BenchReport report(BenchFormat::kMarkdown, conditions, [&](const auto& part) { text += part; });
  report.Add(kProfiles[0]);
  report.Add(StepProfile{0, 8, {{"head", 1, 1000, 0, 1.5e8}}});
  EXPECT_NE(text.find("| layers.*.down | 60 | 1000.0 | 1000 |  |"), std::string::npos) << text;
  EXPECT_NE(text.find("| head | 1 | 1000.0 | 0.150 |"), std::string::npos) << text;
}

TEST(BenchReport, JsonOfHalfARunIsWhole) {
  std::string text;
  BenchReport report(BenchFormat::kJson, kConditions, [&](const auto& part) { text += part; });
  report.Add(kMeasurements[0]);
  EXPECT_EQ(text, "");
  report.Finish({});
  EXPECT_EQ(nlohmann::json::parse(text)["results"].size(), 1u);
}

TEST(BenchReport, JsonHasTheNumbers) {
  const auto root = nlohmann::json::parse(Report(BenchFormat::kJson));
  EXPECT_EQ(root["load_seconds"], 0.5);
  EXPECT_EQ(root["weights_seconds"], 0.25);
  EXPECT_EQ(root["peak_resident_bytes"], 1'500'000);
  EXPECT_EQ(root["results"].size(), 2u);
  EXPECT_EQ(root["results"][0]["tokens_per_second"]["mean"], 110);
  EXPECT_EQ(root["results"][1]["depth"], 512);
  EXPECT_EQ(root["results"][1]["bytes_per_second"], 1e12);
  EXPECT_EQ(root["profiles"][0]["kinds"][0]["microseconds"], 1000);
  EXPECT_EQ(root["profiles"][1]["tokens"], 2048);
}

}  // namespace
}  // namespace gemma
