#include "cc/kernels/sampling_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gemma {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SamplingParamsTest, TravelAsATensorInTheOrderOfTheFormat) {
  const SamplingParams params = {
      .temperature = 0.5f, .top_k = 64, .top_p = 0.95f, .min_p = 0.05f, .seed = 7};
  const SamplingTensor tensor = ToTensor(params);
  EXPECT_THAT(tensor, ElementsAre(0.5f, 64.0f, 0.95f, 0.05f));
  SamplingParams back = {.seed = 7};
  EXPECT_EQ(FromTensor(tensor, back), "");
  EXPECT_EQ(back, params);
}

TEST(SamplingParamsTest, ATensorIsCheckedBeforeItIsRead) {
  SamplingParams params;
  EXPECT_THAT(FromTensor({0, 2.5f, 1, 0}, params), HasSubstr("top_k is 2.5 (0 to"));
  EXPECT_THAT(FromTensor({0, 1e30f, 1, 0}, params), HasSubstr("top_k is "));
  EXPECT_THAT(FromTensor({0, std::nanf(""), 1, 0}, params), HasSubstr("top_k is nan"));
  EXPECT_EQ(params.top_k, 0);
}

TEST(SamplingParamsTest, AreJudgedInOnePlace) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(SamplingProblem({}), "");
  EXPECT_EQ(SamplingProblem({.temperature = 1, .top_k = 64, .top_p = 0.95f, .min_p = 0.05f}), "");
  EXPECT_EQ(SamplingProblem({.temperature = -1}),
            "temperature is -1 (0, which is greedy, and 1e-6 to 1e6 are allowed)");
  for (const float bad : {-0.1f, 1e7f, 1e-9f, std::nanf(""), kInfinity})
    EXPECT_NE(SamplingProblem({.temperature = bad}), "") << bad;
  for (const float bad : {-0.1f, 0.0f, 1.1f, std::nanf("")})
    EXPECT_NE(SamplingProblem({.top_p = bad}), "") << bad;
  for (const float bad : {-0.1f, 1.1f, std::nanf("")})
    EXPECT_NE(SamplingProblem({.min_p = bad}), "") << bad;
  for (const int64_t bad : {-1, (1 << 24) + 1})
    EXPECT_NE(SamplingProblem({.top_k = bad}), "") << bad;
}

}  // namespace
}  // namespace gemma
