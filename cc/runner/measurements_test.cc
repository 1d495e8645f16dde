#include "cc/runner/measurements.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

const std::vector<Measurement> kMeasurements = {
    {.test = "prefill", .tokens = 512, .depth = 0, .tokens_per_second = {100, 110, 120}},
    {.test = "decode", .tokens = 64, .depth = 512, .tokens_per_second = {50}}};
const BenchConditions kConditions = {.model = "tiny", .device = "CPU", .load_seconds = 0.5};

TEST(Summarize, IsMeanAndSampleDeviation) {
  const Summary summary = Summarize({100, 110, 120});
  EXPECT_DOUBLE_EQ(summary.mean, 110);
  EXPECT_DOUBLE_EQ(summary.deviation, 10);
  EXPECT_DOUBLE_EQ(Summarize({7}).deviation, 0);
}

TEST(FormatBench, TableAndMarkdownHaveARowForEachMeasurement) {
  const std::string table = FormatBench(kConditions, kMeasurements, BenchFormat::kTable);
  EXPECT_NE(table.find("110.00 ± 10.00"), std::string::npos) << table;
  const std::string markdown = FormatBench(kConditions, kMeasurements, BenchFormat::kMarkdown);
  EXPECT_NE(markdown.find("| decode | 64 | 512 | 1 | 50.00 ± 0.00 |"), std::string::npos) << markdown;
}

TEST(FormatBench, JsonHasTheNumbers) {
  const auto root = nlohmann::json::parse(FormatBench(kConditions, kMeasurements, BenchFormat::kJson));
  EXPECT_EQ(root["results"].size(), 2u);
  EXPECT_EQ(root["results"][0]["tokens_per_second"]["mean"], 110);
  EXPECT_EQ(root["results"][1]["depth"], 512);
}

}  // namespace
}  // namespace gemma
