#include "cc/base/cpu_count.h"

#include <gtest/gtest.h>

namespace gemma {
namespace {

TEST(CpuCountTest, QuotasAreRoundedUp) {
  EXPECT_EQ(ParseCpuQuota("200000 100000"), 2);
  EXPECT_EQ(ParseCpuQuota("150000 100000\n"), 2);
  EXPECT_EQ(ParseCpuQuota("1000 100000"), 1);
}

TEST(CpuCountTest, NoQuotaIsZero) {
  for (const char* text : {"max 100000", "", "100000", "-1 100000", "100000 0", "x y"})
    EXPECT_EQ(ParseCpuQuota(text), 0) << text;
}

TEST(CpuCountTest, ThereIsAtLeastOneCpu) { EXPECT_GE(AvailableCpus(), 1); }

}  // namespace
}  // namespace gemma
