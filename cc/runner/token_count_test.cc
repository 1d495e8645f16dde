#include "cc/runner/token_count.h"

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(TokenCount, TakesPlainNumbersAndThousands) {
  EXPECT_EQ(*ParseTokenCount("512", 1), 512);
  EXPECT_EQ(*ParseTokenCount("4k", 1), 4096);
  EXPECT_EQ(*ParseTokenCount("128K", 1), 131072);
  EXPECT_EQ(*ParseTokenCount("0", 0), 0);
}

TEST(TokenCount, RefusesTheRestInASentence) {
  for (const char* bad : {"", "k", "-1", "0", "4.5", "4m", "4 k", "1e3", "99999999999k", "0x10"})
    EXPECT_FALSE(ParseTokenCount(bad, 1).ok()) << bad;
  EXPECT_EQ(ParseTokenCount("4m", 1).status().message(),
            "4m is not a number of tokens from 1 on (write 4096 or 4k)");
}

}  // namespace
}  // namespace gemma
