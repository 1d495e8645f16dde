#include "cc/runner/perplexity/divergence.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace gemma::perplexity {
namespace {

using ::testing::ElementsAre;

std::vector<float> Logs(const std::vector<float>& probabilities) {
  std::vector<float> logs;
  for (const float p : probabilities) logs.push_back(std::log(p) + 3);  // any constant will do
  return logs;
}

const std::vector<float> kP = Logs({0.1f, 0.5f, 0.15f, 0.25f});
const std::vector<float> kQ = Logs({0.2f, 0.3f, 0.4f, 0.1f});

TEST(Summarize, KeepsTheMostLikelyAndTheRest) {
  const ReferencePosition position = Summarize(kP, 2, 2);
  EXPECT_THAT(position.ids, ElementsAre(1u, 3u));
  EXPECT_NEAR(position.logprobs[0], std::log(0.5), 1e-6);
  EXPECT_NEAR(position.logprobs[1], std::log(0.25), 1e-6);
  EXPECT_NEAR(position.rest_logprob, std::log(0.25), 1e-6);
  EXPECT_NEAR(position.next_logprob, std::log(0.15), 1e-6);
}

TEST(Summarize, OfEqualTokensTheLowerIdIsFirst) {
  EXPECT_THAT(Summarize(std::vector<float>{1, 2, 2, 2}, 0, 2).ids, ElementsAre(1u, 2u));
}

TEST(Summarize, TheWholeVocabularyHasNoRest) {
  EXPECT_EQ(Summarize(kP, 0, 4).rest_logprob, -std::numeric_limits<float>::infinity());
}

TEST(Compare, IsTheFormula) {
  // 0.5 log(0.5/0.3) + 0.25 log(0.25/0.1) + 0.25 log(0.25/0.6)
  const PositionDivergence top2 = Compare(Summarize(kP, 0, 2), kQ, 0);
  EXPECT_NEAR(top2.kl,
              0.5 * std::log(0.5 / 0.3) + 0.25 * std::log(2.5) + 0.25 * std::log(0.25 / 0.6), 1e-6);
  EXPECT_NEAR(top2.surprise, -std::log(0.2), 1e-6);
  EXPECT_FALSE(top2.same_top);
  const PositionDivergence full = Compare(Summarize(kP, 0, 4), kQ, 3);
  EXPECT_NEAR(full.kl,
              0.1 * std::log(0.5) + 0.5 * std::log(0.5 / 0.3) + 0.15 * std::log(0.15 / 0.4) +
                  0.25 * std::log(2.5),
              1e-6);
  EXPECT_GT(full.kl, top2.kl) << "fewer outcomes tell less";
}

TEST(Compare, AModelIsNotFarFromItself) {
  for (const size_t top_k : {1, 2, 4}) {
    const PositionDivergence same = Compare(Summarize(kP, 1, top_k), kP, 1);
    EXPECT_NEAR(same.kl, 0, 1e-6);
    EXPECT_TRUE(same.same_top);
  }
}

TEST(Compare, TokensThatBothExcludeCountForNothing) {
  constexpr float kExcluded = std::numeric_limits<float>::lowest();
  const std::vector<float> p = {1, kExcluded, 2, kExcluded}, q = {2, kExcluded, 1, kExcluded};
  const double kl = Compare(Summarize(p, 0, 4), q, 0).kl;
  EXPECT_NEAR(kl, std::tanh(0.5), 1e-6);  // (e^2 - e) / (e^2 + e)
}

TEST(EstimateMean, HasTheErrorOfTheMean) {
  const std::vector<double> values = {1, 2, 3, 6};
  EXPECT_DOUBLE_EQ(EstimateMean(values).mean, 3);
  EXPECT_DOUBLE_EQ(EstimateMean(values).error, std::sqrt(14.0 / 3 / 4));
  EXPECT_TRUE(std::isnan(EstimateMean(std::vector<double>{1}).error));
}

TEST(Quantile, IsLinearBetweenNeighbours) {
  EXPECT_DOUBLE_EQ(Quantile({3, 1, 2}, 0.5), 2);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 2, 3}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(Quantile({0, 10}, 0.99), 9.9);
  EXPECT_DOUBLE_EQ(Quantile({7}, 0.99), 7);
  EXPECT_TRUE(std::isnan(Quantile({}, 0.5)));
}

}  // namespace
}  // namespace gemma::perplexity
