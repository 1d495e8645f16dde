#include "cc/kernels/philox.h"

#include "gtest/gtest.h"

namespace gemma {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers of the Random123 library for philox4x32, 10 rounds.
TEST(PhiloxTest, MatchesKnownAnswers) {
  EXPECT_EQ(Philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, UniformNumbersFillTheUnitInterval) {
  double sum = 0, least = 1, largest = 0;
  for (uint64_t position = 0; position < 10000; ++position) {
    const double u = SamplingUniform(1, position);
    sum += u;
    least = std::min(least, u);
    largest = std::max(largest, u);
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
  EXPECT_GE(least, 0);
  EXPECT_LT(least, 0.001);
  EXPECT_LT(largest, 1);
  EXPECT_GT(largest, 0.999);
  EXPECT_NE(SamplingUniform(7, 0), SamplingUniform(8, 0));
  EXPECT_NE(SamplingUniform(7, 0), SamplingUniform(7, uint64_t{1} << 32));
}

}  // namespace
}  // namespace gemma
