#include "cc/runner/score_line.h"

#include <cmath>

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(ScoreLine, HasTheKeysOfTheContractInOrder) {
  const TokenScore score = {.next_logprob = -1.5f, .top_ids = {7, 3}, .top_logprobs = {-0.25f, -2}};
  EXPECT_EQ(ScoreLine(4, 105, score),
            R"({"position":4,"token":105,"next_logprob":-1.5,"top_ids":[7,3],"top_logprobs":[-0.25,-2.0]})");
}

TEST(ScoreLine, WritesNullWhereNothingFollows) {
  const TokenScore score = {.next_logprob = std::nanf(""), .top_ids = {1}, .top_logprobs = {0}};
  EXPECT_NE(ScoreLine(0, 1, score).find(R"("next_logprob":null)"), std::string::npos);
}

TEST(ScoreLine, KeepsAllDigitsOfAFloat) {
  const TokenScore score = {.next_logprob = -0.1f, .top_ids = {}, .top_logprobs = {}};
  const std::string line = ScoreLine(0, 1, score);
  const std::string key = "\"next_logprob\":";
  EXPECT_EQ(std::strtof(line.c_str() + line.find(key) + key.size(), nullptr), -0.1f);
}

}  // namespace
}  // namespace gemma
