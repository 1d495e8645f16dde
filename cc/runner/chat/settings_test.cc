#include "cc/runner/chat/settings.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace gemma::chat {
namespace {

Settings Changed(absl::string_view text) {
  Settings settings;
  EXPECT_TRUE(ChangeSetting(text, settings).ok()) << text;
  return settings;
}

std::string Refusal(absl::string_view text) {
  Settings settings;
  const absl::Status status = ChangeSetting(text, settings);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
  EXPECT_EQ(settings, Settings()) << text;
  return std::string(status.message());
}

TEST(ChangeSetting, TakesEverySetting) {
  EXPECT_FLOAT_EQ(Changed("temperature 0.7").sampling.temperature, 0.7f);
  EXPECT_EQ(Changed("top_k=40").sampling.top_k, 40);
  EXPECT_FLOAT_EQ(Changed("top_p  0.9").sampling.top_p, 0.9f);
  EXPECT_FLOAT_EQ(Changed("min_p 0.05").sampling.min_p, 0.05f);
  EXPECT_EQ(Changed("seed 18446744073709551615").sampling.seed, UINT64_MAX);
  EXPECT_EQ(Changed("max_new_tokens 2k").max_new_tokens, 2048);
  EXPECT_TRUE(Changed("thinking on").thinking);
  EXPECT_FALSE(Changed("thoughts hide").shows_thoughts);
}

TEST(ChangeSetting, RefusesNamesAndValuesThatThereAreNoneOf) {
  EXPECT_EQ(Refusal("warmth 3"), "there is no setting warmth (/set alone lists them)");
  EXPECT_EQ(Refusal("temperature"), "write /set temperature VALUE");
  EXPECT_EQ(Refusal("temperature -1"),
            "/set temperature -1 is not allowed (0, which is greedy, and 1e-6 to 1e6 are)");
  EXPECT_NE(Refusal("temperature nan").find("is not allowed"), std::string::npos);
  EXPECT_NE(Refusal("top_k 1.5").find("is not allowed"), std::string::npos);
  EXPECT_NE(Refusal("seed -1").find("from 0 to 2^64 - 1"), std::string::npos);
  EXPECT_NE(Refusal("max_new_tokens 0").find("from 1 on"), std::string::npos);
  EXPECT_EQ(Refusal("thinking maybe"), "/set thinking takes on or off, but not maybe");
  EXPECT_EQ(Refusal("thoughts on"), "/set thoughts takes show or hide, but not on");
}

TEST(DescribeSettings, CanBeTypedAgain) {
  Settings settings;
  settings.sampling = {.temperature = 0.5f, .top_k = 64, .top_p = 0.25f, .min_p = 0, .seed = 9};
  settings.max_new_tokens = 77;
  settings.thinking = true;
  settings.shows_thoughts = false;
  Settings copy;
  for (absl::string_view line : absl::StrSplit(DescribeSettings(settings), '\n'))
    EXPECT_TRUE(ChangeSetting(absl::StripAsciiWhitespace(line), copy).ok()) << line;
  EXPECT_EQ(copy, settings);
}

}  // namespace
}  // namespace gemma::chat
