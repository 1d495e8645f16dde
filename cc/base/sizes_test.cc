#include "cc/base/sizes.h"

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(FormatBytes, HasThreeDigitsAndTheUnitThatFits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1234567), "1.23 MB");
  EXPECT_EQ(FormatBytes(37'200'000), "37.2 MB");
  EXPECT_EQ(FormatBytes(246'609'152), "247 MB");
  EXPECT_EQ(FormatBytes(999'499'999), "999 MB");
  EXPECT_EQ(FormatBytes(999'500'000), "1.00 GB");
  EXPECT_EQ(FormatBytes(17'890'000'000), "17.9 GB");
  EXPECT_EQ(FormatBytes(~0ull), "18446744 TB");
}

}  // namespace
}  // namespace gemma
