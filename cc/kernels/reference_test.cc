// The references are what the kernels are judged by,
// so they are judged here by numbers worked out by hand.
#include "cc/kernels/reference.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace gemma {
namespace {

// A weight whose planes a test fills in.
class HandmadeWeight {
 public:
  explicit HandmadeWeight(const WeightShape& shape)
      : planes_(LayOutWeight(shape).value()),
        blob_(planes_.bytes),
        view_{shape, planes_, blob_.data()} {}

  template <typename T>
  void Put(uint64_t plane, int64_t index, T value) {
    std::memcpy(blob_.data() + plane + index * sizeof(T), &value, sizeof(T));
  }
  void PutByte(uint64_t plane, int64_t index, int value) {
    Put(plane, index, static_cast<uint8_t>(value));
  }

  const WeightPlanes& planes() const { return planes_; }
  const WeightView& view() const { return view_; }
  std::vector<float> Row(int64_t row) const {
    std::vector<float> values(view_.shape.columns);
    reference::DequantizeRow(view_, row, values.data());
    return values;
  }

 private:
  WeightPlanes planes_;
  std::vector<std::byte> blob_;
  WeightView view_;
};

constexpr uint16_t kHalfOne = 0x3c00, kHalfTwo = 0x4000, kHalfMinusQuarter = 0xb400;

TEST(ReferenceTest, HalvesRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = reference::HalfToFloat(half);
    if (std::isnan(value)) continue;
    EXPECT_EQ(reference::FloatToHalf(value), half) << bits;
  }
  EXPECT_EQ(reference::HalfToFloat(kHalfMinusQuarter), -0.25f);
  EXPECT_EQ(reference::HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(reference::HalfToFloat(0x7bff), 65504.0f);
  EXPECT_EQ(reference::HalfToFloat(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(reference::HalfToFloat(0x7e00)));
  EXPECT_EQ(reference::FloatToHalf(1 + 0x1p-11f), kHalfOne);  // a tie, to even
  EXPECT_EQ(reference::FloatToHalf(1 + 0x3p-11f), 0x3c02);    // a tie, to even
}

TEST(ReferenceTest, Bfloat16RoundsTiesToEven) {
  EXPECT_EQ(reference::FloatToBfloat16(1), 0x3f80);
  EXPECT_EQ(reference::FloatToBfloat16(1 + 0x1p-8f), 0x3f80);
  EXPECT_EQ(reference::FloatToBfloat16(1 + 0x3p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(reference::Bfloat16ToFloat(reference::FloatToBfloat16(std::nanf("")))));
}

TEST(ReferenceTest, Int8AndFloatScales) {
  HandmadeWeight grouped({WeightLayout::kInt8, 2, 64, 32});
  grouped.PutByte(grouped.planes().values, 64 + 33, -3);
  grouped.Put(grouped.planes().scales, 3, kHalfTwo);
  EXPECT_EQ(grouped.Row(1)[33], -6);
  HandmadeWeight single({WeightLayout::kInt8, 2, 64, 64});
  single.PutByte(single.planes().values, 64 + 63, 5);
  single.Put(single.planes().scales, 1, 0.1f);
  EXPECT_EQ(single.Row(1)[63], 0.5f);
}

// Column 2 lies in the low half of byte 2, column 18 in its high half.
TEST(ReferenceTest, NibblesAndMins) {
  HandmadeWeight w({WeightLayout::kInt4Min, 1, 64, 32});
  w.PutByte(w.planes().values, 16 + 2, 0x9f);
  w.Put(w.planes().scales, 1, kHalfTwo);
  w.Put(w.planes().mins, 1, kHalfMinusQuarter);
  EXPECT_EQ(w.Row(0)[32 + 2], 2 * 15 - 0.25f);
  EXPECT_EQ(w.Row(0)[32 + 18], 2 * 9 - 0.25f);
  HandmadeWeight symmetric({WeightLayout::kInt4, 1, 64, 32});
  symmetric.PutByte(symmetric.planes().values, 2, 0x9f);
  symmetric.Put(symmetric.planes().scales, 0, kHalfTwo);
  EXPECT_EQ(symmetric.Row(0)[2], 14);
  EXPECT_EQ(symmetric.Row(0)[18], 2);
}

TEST(ReferenceTest, FifthBits) {
  HandmadeWeight w({WeightLayout::kInt5, 1, 64, 32});
  w.PutByte(w.planes().values, 16 + 4, 0x21);
  w.Put(w.planes().bits, 1, uint32_t{1} << 20);  // of column 20
  w.Put(w.planes().scales, 1, kHalfOne);
  EXPECT_EQ(w.Row(0)[32 + 4], 1 - 16);
  EXPECT_EQ(w.Row(0)[32 + 20], 2 + 16 - 16);
}

// Groups 1 and 6 of a block of Q4_K: the second kind takes its six bits from two places.
TEST(ReferenceTest, PackedSixBitScales) {
  HandmadeWeight w({WeightLayout::kQ4_K, 1, 256, 0});
  w.Put(w.planes().blocks, 0, kHalfOne);
  w.Put(w.planes().blocks, 1, kHalfTwo);
  w.PutByte(w.planes().scales, 1, 37);            // scale of group 1
  w.PutByte(w.planes().scales, 5, 41);            // min of group 1
  w.PutByte(w.planes().scales, 2, 0b10 << 6);     // upper bits of group 6's scale
  w.PutByte(w.planes().scales, 6, 0b01 << 6);     // and min
  w.PutByte(w.planes().scales, 10, 0b1100'0011);  // lower bits: min 12, scale 3
  w.PutByte(w.planes().values, 1 * 16, 0x05);
  w.PutByte(w.planes().values, 6 * 16, 0x07);
  EXPECT_EQ(w.Row(0)[32], 37 * 5 - 2 * 41);
  EXPECT_EQ(w.Row(0)[6 * 32], 35 * 7 - 2 * 28);
}

// Groups 1 and 6 of a block of IQ4_XS, with scales 37 - 32 and 2 - 32.
TEST(ReferenceTest, LevelsAndSignedSixBitScales) {
  HandmadeWeight w({WeightLayout::kIq4Xs, 2, 256, 0});
  const uint64_t second_row = w.planes().scales + 8;
  w.Put(second_row, 0, kHalfMinusQuarter);
  w.PutByte(second_row, 2, 0b10 << 2);  // upper bits of group 1
  w.PutByte(second_row, 4, 5 << 4);     // lower bits of group 1
  w.PutByte(second_row, 7, 2);          // lower bits of group 6
  w.PutByte(w.planes().values, 128 + 16 + 3, 0x0f);
  w.PutByte(w.planes().values, 128 + 6 * 16, 0x70);
  EXPECT_EQ(w.Row(1)[32 + 3], -0.25f * (37 - 32) * 113);
  EXPECT_EQ(w.Row(1)[32 + 19], -0.25f * (37 - 32) * -127);
  EXPECT_EQ(w.Row(1)[6 * 32 + 16], -0.25f * (2 - 32) * -10);
}

// E4M3: 0x41 is 2.25; 0x83, a negative number with the smallest exponent, -3 * 2^-9.
TEST(ReferenceTest, E4m3AndRowScales) {
  HandmadeWeight w({WeightLayout::kNvfp4, 2, 64, 0});
  w.Put(w.planes().blocks, 1, 0.5f);
  w.PutByte(w.planes().scales, 4 + 2, 0x41);  // columns 32-47 of the second row
  w.PutByte(w.planes().scales, 4 + 3, 0x83);  // columns 48-63
  w.PutByte(w.planes().values, 32 + 16 + 1, 0xd6);
  EXPECT_EQ(w.Row(1)[32 + 1], 0.5f * 2.25f * 8);
  EXPECT_EQ(w.Row(1)[32 + 17], 0.5f * (-3 * 0x1p-9f) * -6);
}

TEST(ReferenceTest, LevelsWithScalesOfGroups) {
  HandmadeWeight w({WeightLayout::kIq4Nl, 1, 64, 32});
  w.Put(w.planes().scales, 1, kHalfTwo);
  w.PutByte(w.planes().values, 16, 0xe8);
  EXPECT_EQ(w.Row(0)[32], 2 * 1);
  EXPECT_EQ(w.Row(0)[32 + 16], 2 * 89);
}

// Column 9 of a block of 32 shares a pair byte with columns 1, 17 and 25.
TEST(ReferenceTest, PairPlane) {
  HandmadeWeight w({WeightLayout::kQ6_K, 1, 256, 0});
  w.Put(w.planes().blocks, 0, kHalfTwo);
  w.PutByte(w.planes().scales, 2, -3);  // columns 32-47
  w.PutByte(w.planes().scales, 3, 5);   // columns 48-63
  w.PutByte(w.planes().values, 16 + 9, 0x4b);
  w.PutByte(w.planes().pairs, 8 + 1, 0b11'00'10'01);
  EXPECT_EQ(w.Row(0)[32 + 9], 2 * -3 * ((0b10 << 4 | 0xb) - 32));
  EXPECT_EQ(w.Row(0)[32 + 25], 2 * 5 * ((0b11 << 4 | 0x4) - 32));
}

TEST(ReferenceTest, RmsNormByHand) {
  const std::vector<float> in = {3, 4}, weight = {1, 2}, add = {10, 20};
  std::vector<float> out(2);
  reference::Compute(RmsNorm{.in = in.data(),
                             .weight = weight.data(),
                             .add = add.data(),
                             .tokens = 1,
                             .columns = 2,
                             .width = 2,
                             .epsilon = 0,
                             .scalar = 0.5f,
                             .out = out.data()});
  EXPECT_FLOAT_EQ(out[0], (10 + 3 / std::sqrt(12.5f)) * 0.5f);
  EXPECT_FLOAT_EQ(out[1], (20 + 2 * 4 / std::sqrt(12.5f)) * 0.5f);
}

// A quarter turn takes the pair (a, b) to (-b, a); the second frequency is 0 and turns nothing.
TEST(ReferenceTest, RopeTurnsPairs) {
  const std::vector<float> q = {1, 1, 1, -1}, norm(4, 1);
  const std::vector<float> frequencies = {static_cast<float>(M_PI / 2 / 3), 0};
  std::vector<float> keys(16), values(16), out(4);
  const KvCache cache{keys.data(), values.data(), CacheType::kF32, 1, 4, 4, 0};
  reference::Compute(PrepareAttention{.q = q.data(),
                                      .k = q.data(),
                                      .q_norm = norm.data(),
                                      .k_norm = norm.data(),
                                      .frequencies = frequencies.data(),
                                      .heads = 1,
                                      .tokens = 1,
                                      .start = 3,
                                      .cache = cache,
                                      .out = out.data()});
  EXPECT_NEAR(out[0], -1, 1e-6);
  EXPECT_NEAR(out[2], 1, 1e-6);
  EXPECT_NEAR(out[1], 1, 1e-6);
  EXPECT_NEAR(out[3], -1, 1e-6);
  EXPECT_NEAR(keys[3 * 4], -1, 1e-6);  // slot 3
  EXPECT_EQ(values[3 * 4], 1);         // values are not turned
}

// Equal keys: the output is the mean of the values that the query sees,
// two of three under a window of 2.
TEST(ReferenceTest, AttentionAveragesWhatTheWindowShows) {
  const std::vector<float> q = {1, 0};
  std::vector<float> keys(6, 1), values = {100, 100, 2, 4, 6, 8}, out(2);
  Attention op{q.data(),  1, 1, 2, 1, {keys.data(), values.data(), CacheType::kF32, 1, 2, 3, 2},
               out.data()};
  reference::Compute(op);
  EXPECT_FLOAT_EQ(out[0], 4);
  EXPECT_FLOAT_EQ(out[1], 6);
  op.cache.window = 0;
  reference::Compute(op);
  EXPECT_FLOAT_EQ(out[0], 36);
}

TEST(ReferenceTest, FiltersApplyInOrder) {
  // Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1.
  const std::vector<float> logits = {0, std::log(4.0f), std::log(2.0f), 0};
  const auto drawn = [&](const SamplingParams& sampling) {
    std::vector<bool> seen(4);
    for (uint64_t i = 0; i < 400; ++i) {
      seen[reference::Compute(Sample{logits.data(), 4, sampling, i})] = true;
    }
    return seen;
  };
  EXPECT_EQ(drawn({.temperature = 1}), (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(drawn({.temperature = 1, .top_k = 3}), (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(drawn({.temperature = 1, .top_p = 0.7f}),
            (std::vector<bool>{false, true, true, false}));
  // After top_k 2 the probabilities are 2/3 and 1/3, so the first alone reaches 0.6.
  EXPECT_EQ(drawn({.temperature = 1, .top_k = 2, .top_p = 0.6f}),
            (std::vector<bool>{false, true, false, false}));
  EXPECT_EQ(drawn({.temperature = 1, .min_p = 0.4f}),
            (std::vector<bool>{false, true, true, false}));
}

}  // namespace
}  // namespace gemma
