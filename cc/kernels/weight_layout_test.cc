#include "cc/kernels/weight_layout.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace gemma {
namespace {

WeightPlanes Planes(WeightLayout layout, uint32_t rows, uint32_t columns, uint32_t group) {
  const auto planes = LayOutWeight({layout, rows, columns, group});
  EXPECT_TRUE(planes.ok()) << planes.status();
  return planes.value_or(WeightPlanes{});
}

TEST(WeightLayoutTest, PlacesPlanesAtMultiplesOf128) {
  const WeightPlanes planes = Planes(WeightLayout::kInt5Min, 3, 96, 32);
  EXPECT_EQ(planes.values, 0u);
  EXPECT_EQ(planes.bits, 256u);    // 3 x 48 = 144 bytes of nibbles
  EXPECT_EQ(planes.scales, 384u);  // 3 x 12 bytes of bits
  EXPECT_EQ(planes.mins, 512u);    // 3 x 3 float16
  EXPECT_EQ(planes.bytes, 512u + 18u);
  EXPECT_EQ(planes.pairs, WeightPlanes::kAbsent);
  EXPECT_FALSE(planes.float_scales);
}

TEST(WeightLayoutTest, OneScaleARowIsFloat32) {
  const WeightPlanes planes = Planes(WeightLayout::kInt8, 4, 640, 640);
  EXPECT_TRUE(planes.float_scales);
  EXPECT_EQ(planes.scales, 2560u);
  EXPECT_EQ(planes.bytes, 2560u + 16u);
}

// All bytes but these may have any value, so no two of them may overlap, and none may be padding.
TEST(WeightLayoutTest, ScaleNumbersLieWithinTheirPlanes) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    const WeightShape shape{layout, 3, 512, HasGroups(layout) ? 64u : 0u};
    const WeightPlanes planes = Planes(layout, 3, 512, shape.group);
    uint64_t end = 0;
    for (const ScaleNumbers& numbers : ScaleNumbersOf(shape, planes)) {
      EXPECT_GE(numbers.offset, end) << WeightLayoutName(layout);
      EXPECT_TRUE(numbers.offset == planes.scales || numbers.offset == planes.mins ||
                  numbers.offset == planes.blocks);
      end = numbers.offset + (numbers.count - 1) * numbers.stride + (numbers.floats ? 4 : 2);
      EXPECT_LE(end, planes.bytes) << WeightLayoutName(layout);
    }
    EXPECT_EQ(end == 0, IsFloat(layout)) << WeightLayoutName(layout);
  }
}

struct BitsCase {
  WeightLayout layout;
  uint32_t group;
  double bits;
};

// The column "bits per weight" of docs/formats.md.
TEST(WeightLayoutTest, TakesTheDocumentedBitsPerWeight) {
  const std::vector<BitsCase> cases = {
      {WeightLayout::kF32, 0, 32},      {WeightLayout::kF16, 0, 16},
      {WeightLayout::kBF16, 0, 16},     {WeightLayout::kInt8, 32, 8.5},
      {WeightLayout::kInt4, 32, 4.5},   {WeightLayout::kInt4Min, 32, 5},
      {WeightLayout::kInt5, 32, 5.5},   {WeightLayout::kInt5Min, 32, 6},
      {WeightLayout::kQ4_K, 0, 4.5},    {WeightLayout::kQ5_K, 0, 5.5},
      {WeightLayout::kQ6_K, 0, 6.5625}, {WeightLayout::kIq4Nl, 32, 4.5},
      {WeightLayout::kIq4Xs, 0, 4.25},  {WeightLayout::kNvfp4, 0, 4.5 + 32.0 / 2560},
  };
  ASSERT_EQ(cases.size(), static_cast<size_t>(kWeightLayouts));
  for (const BitsCase& c : cases) {
    const WeightPlanes planes = Planes(c.layout, 1024, 2560, c.group);
    EXPECT_DOUBLE_EQ(static_cast<double>(planes.bytes) * 8 / (1024 * 2560), c.bits)
        << WeightLayoutName(c.layout);
  }
}

std::string Refusal(WeightLayout layout, uint32_t rows, uint32_t columns, uint32_t group) {
  return std::string(LayOutWeight({layout, rows, columns, group}).status().message());
}

TEST(WeightLayoutTest, RefusesShapesInASentence) {
  EXPECT_EQ(Refusal(WeightLayout::kInt4, 8, 5376, 48), "group 48 is not a positive multiple of 32");
  EXPECT_EQ(Refusal(WeightLayout::kInt4, 8, 5376, 0), "group 0 is not a positive multiple of 32");
  EXPECT_EQ(Refusal(WeightLayout::kInt8, 8, 640, 96),
            "group 96 does not divide 640 columns (use a divisor that is a multiple of 32)");
  EXPECT_EQ(Refusal(WeightLayout::kQ4_K, 8, 640, 0),
            "layout Q4_K needs columns in blocks of 256, which does not divide 640");
  EXPECT_EQ(Refusal(WeightLayout::kQ6_K, 8, 512, 16),
            "group 16 for layout Q6_K, which has none to choose (use 0)");
  EXPECT_EQ(Refusal(WeightLayout::kF32, 0, 640, 0), "shape 0 x 640 is empty");
  EXPECT_EQ(Refusal(WeightLayout::kNvfp4, 8, 656, 0),
            "layout NVFP4 needs columns in blocks of 32, which does not divide 656");
  EXPECT_EQ(Refusal(static_cast<WeightLayout>(kWeightLayouts), 8, 640, 0),
            "layout 14 is unknown (use 0 to 13)");
}

// 2^32 - 1 rows of as many columns of float32 do not fit 64 bits.
TEST(WeightLayoutTest, RefusesSizesThatDoNotFit) {
  EXPECT_EQ(LayOutWeight({WeightLayout::kF32, 0xffffffff, 0xffffffff, 0}).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(WeightLayoutTest, ViewAsksForExactlyTheBytes) {
  const std::vector<std::byte> blob(40);
  const WeightShape shape{WeightLayout::kF32, 2, 5, 0};
  const auto view = WeightView::Create(shape, blob);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->plane(view->planes.values), blob.data());
  EXPECT_EQ(WeightView::Create(shape, std::span(blob).first(39)).status().message(),
            "F32 [2, 5] takes 40 bytes, but there are 39");
}

}  // namespace
}  // namespace gemma
