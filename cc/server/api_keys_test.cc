#include "cc/server/api_keys.h"

#include <string>

#include "gtest/gtest.h"

namespace gemma::server {
namespace {

TEST(ApiKeys, FindsKeysAndNothingElse) {
  const auto keys = ApiKeys::Parse("# ours\n\nfirst-key-0123456\n  second-key-012345 \r\n", "f");
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->size(), 2u);
  EXPECT_EQ(keys->Find("first-key-0123456"), "key 1");
  EXPECT_EQ(keys->Find("second-key-012345"), "key 2");
  for (const char* wrong : {"", "first-key-012345", "first-key-01234567", "# ours"})
    EXPECT_FALSE(keys->Find(wrong).has_value()) << wrong;
}

TEST(ApiKeys, WithoutKeysEverybodyMayAsk) {
  EXPECT_TRUE(ApiKeys().empty());
  EXPECT_EQ(ApiKeys().Find("whatever"), "");
}

TEST(ApiKeys, RefusesKeysThatAreNone) {
  const auto problem = [](const std::string& text) {
    return std::string(ApiKeys::Parse(text, "keys.txt").status().message());
  };
  EXPECT_EQ(problem("\n# none\n"), "keys.txt: has no keys (write one a line)");
  EXPECT_EQ(problem("short"), "keys.txt:1: the key has 5 characters (at least 16 are needed)");
  EXPECT_EQ(problem("\nkey with spaces in it"),
            "keys.txt:2: the key has a space or a character that is not ASCII");
  EXPECT_EQ(problem("first-key-0123456\nfirst-key-0123456"), "keys.txt:2: the key is there twice");
}

}  // namespace
}  // namespace gemma::server
