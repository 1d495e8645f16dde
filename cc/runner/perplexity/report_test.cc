#include "cc/runner/perplexity/report.h"

#include <gmock/gmock.h>

#include <cmath>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gemma::perplexity {
namespace {

using ::testing::HasSubstr;

const Measurement kCompared = {.surprise = {1, 2, 3},
                               .reference_surprise = {1, 1, 3},
                               .kl = {0.1, 0.2, 0.6},
                               .same_top = {1, 1, 0}};

TEST(TableReport, HasWhatWasMeasured) {
  const std::string text = TableReport({.surprise = {1, 2, 3}}, 0, 0);
  EXPECT_EQ(text,
            "positions               3\n"
            "perplexity              7.38906 +- 4.3\n");
  EXPECT_THAT(TableReport(kCompared, 64, 1000),
              HasSubstr("KL is over              the reference's top 64 and the rest, in nats\n"));
  EXPECT_THAT(TableReport(kCompared, 1000, 1000), HasSubstr("the full vocabulary"));
}

TEST(JsonReport, HasNumbers) {
  const auto report = nlohmann::json::parse(JsonReport(kCompared, 64, 1000));
  EXPECT_EQ(report["positions"], 3);
  EXPECT_NEAR(report["perplexity"]["mean"], std::exp(2.0), 1e-9);
  EXPECT_NEAR(report["perplexity"]["standard_error"], std::exp(2.0) / std::sqrt(3.0), 1e-9);
  EXPECT_NEAR(report["log_perplexity_ratio"]["mean"], 1.0 / 3, 1e-9);
  EXPECT_NEAR(report["log_perplexity_ratio"]["standard_error"], 1.0 / 3, 1e-9);
  EXPECT_NEAR(report["kl"]["mean"], 0.3, 1e-9);
  EXPECT_NEAR(report["kl"]["median"], 0.2, 1e-9);
  EXPECT_NEAR(report["kl"]["quantile_99"], 0.592, 1e-9);
  EXPECT_EQ(report["kl"]["top_k"], 64);
  EXPECT_NEAR(report["same_top"]["mean"], 2.0 / 3, 1e-9);
}

TEST(JsonReport, OnePositionHasNoError) {
  const auto report = nlohmann::json::parse(JsonReport({.surprise = {1}}, 0, 0));
  EXPECT_TRUE(report["perplexity"]["standard_error"].is_null());
  EXPECT_FALSE(report.contains("kl"));
}

}  // namespace
}  // namespace gemma::perplexity
