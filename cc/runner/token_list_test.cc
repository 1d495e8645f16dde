#include "cc/runner/token_list.h"

#include "cc/runner/exit_code.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(TokenList, ReadsIds) {
  EXPECT_EQ(*ParseTokenList("7"), std::vector<int32_t>({7}));
  EXPECT_EQ(*ParseTokenList("2,105, 2364"), std::vector<int32_t>({2, 105, 2364}));
}

TEST(TokenList, RefusesEverythingElseAsAUsageError) {
  for (const char* text : {"", ",", "1,", "1,x", "1;2", "-1", "1.5", "99999999999"}) {
    const auto tokens = ParseTokenList(text);
    ASSERT_FALSE(tokens.ok()) << text;
    EXPECT_EQ(ExitCode(tokens.status()), kExitUsage) << text;
  }
}

}  // namespace
}  // namespace gemma
