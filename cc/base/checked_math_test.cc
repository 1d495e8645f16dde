#include "cc/base/checked_math.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(CheckedMathTest, ComputesWhatFits) {
  EXPECT_EQ(*CheckedMul<uint64_t>(262144, 5376), 1409286144u);
  EXPECT_EQ(*CheckedAdd<uint32_t>(0xfffffffe, 1), 0xffffffffu);
  EXPECT_EQ(*CheckedRoundUp<uint64_t>(0, 128), 0u);
  EXPECT_EQ(*CheckedRoundUp<uint64_t>(128, 128), 128u);
  EXPECT_EQ(*CheckedRoundUp<uint64_t>(129, 128), 256u);
}

TEST(CheckedMathTest, RefusesWhatDoesNot) {
  const auto product = CheckedMul<uint64_t>(uint64_t{1} << 32, uint64_t{1} << 32);
  EXPECT_EQ(product.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(product.status().message(),
            "4294967296 * 4294967296 is larger than 18446744073709551615");
  EXPECT_FALSE(CheckedAdd<uint32_t>(0xffffffff, 1).ok());
  EXPECT_FALSE(CheckedRoundUp<uint32_t>(0xffffffff, 128).ok());
}

}  // namespace
}  // namespace gemma
