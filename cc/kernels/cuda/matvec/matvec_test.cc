#include "cc/kernels/cuda/matvec/matvec.h"

#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

// Sums of float32, with the tensor core's own rounding:
// nothing is rounded to fewer bits on the way.
constexpr double kRelative = 2e-5;
constexpr double kEach = 2e-4;

std::string Name(const WeightShape& shape, int64_t tokens) {
  return absl::StrCat(WeightLayoutName(shape.layout), " ", shape.rows, "x", shape.columns,
                      shape.group == 0 ? "" : absl::StrCat(" group ", shape.group), ", ", tokens,
                      " tokens");
}

std::vector<float> Reference(const RandomWeight& weight, const std::vector<float>& in,
                             int64_t tokens) {
  std::vector<float> out(static_cast<size_t>(tokens) * weight.shape.rows);
  reference::Compute(Linear{weight.host(), in.data(), tokens, out.data()});
  return out;
}

ActivationValues RandomInput(bool paired, int64_t tokens, uint32_t columns, float scale,
                             std::mt19937& random) {
  const size_t size = static_cast<size_t>(tokens) * columns;
  return paired ? RandomPairs(size, columns, scale, random)
                : RandomActivations(size, scale, random);
}

void CheckPlain(const WeightShape& shape, int64_t tokens, bool paired = false) {
  std::mt19937 random(shape.rows * 31 + shape.columns + static_cast<uint32_t>(tokens));
  TestContext context;
  const RandomWeight weight(shape, random);
  const ActivationValues in = RandomInput(paired, tokens, shape.columns, 1, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> out(static_cast<size_t>(tokens) * shape.rows);
  Product op;
  op.tokens = tokens;
  op.in_number = paired ? Number::kFloat16Pair : Number::kFloat16;
  op.in = device_in.get();
  op.outputs = {{weight.on_device(), out.get()}};
  ASSERT_TRUE(RunMatvec(op, context.get()).ok());
  ExpectClose(Name(shape, tokens) + (paired ? " in pairs" : ""), out.Read(),
              Reference(weight, in.values, tokens), kRelative, kEach);
}

uint32_t GroupOf(WeightLayout layout) { return HasGroups(layout) ? 32 : 0; }

TEST(MatvecTest, EveryLayout) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    for (const int64_t tokens : {1, 2, 3, 5, 8})
      CheckPlain({layout, 72, 768, GroupOf(layout)}, tokens);
  }
}

// The same tolerance: the sums of pairs are as exact as those of float16. All kernels, matrices
// that end within a unit, rows with one scale each, and inputs that are cut into slices.
TEST(MatvecTest, Pairs) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    for (const int64_t tokens : {1, 2, 4}) {
      CheckPlain({layout, 72, 768, GroupOf(layout)}, tokens, true);
      CheckPlain({layout, 21, 1280, GroupOf(layout)}, tokens, true);
    }
  }
  for (const WeightLayout layout : {WeightLayout::kInt4, WeightLayout::kInt4Min}) {
    CheckPlain({layout, 48, 5376, 32}, 1, true);  // streamed
    CheckPlain({layout, 64, 8192, 32}, 1, true);
    CheckPlain({layout, 48, 768, 768}, 2, true);
  }
  CheckPlain({WeightLayout::kInt5, 40, 640, 32}, 1, true);
  CheckPlain({WeightLayout::kInt4, 401, 5376, 32}, 3, true);
  CheckPlain({WeightLayout::kInt4, 32, 21504, 32}, 4, true);
  CheckPlain({WeightLayout::kBF16, 9, 33, 0}, 4, true);
}

// Tiles of 32 rows, units of 256 columns, blocks that share a tile: their borders.
TEST(MatvecTest, OddSizes) {
  for (const WeightLayout layout :
       {WeightLayout::kInt4, WeightLayout::kInt8, WeightLayout::kBF16}) {
    for (const uint32_t rows : {1u, 7u, 17u, 129u})
      CheckPlain({layout, rows, 640, GroupOf(layout)}, 1);
    for (const uint32_t columns : {64u, 192u, 2112u})
      CheckPlain({layout, 40, columns, GroupOf(layout)}, 2);
  }
  CheckPlain({WeightLayout::kQ4_K, 19, 2560, 0}, 1);
  CheckPlain({WeightLayout::kQ6_K, 19, 2560, 0}, 1);
  CheckPlain({WeightLayout::kQ6_K, 21, 1280, 0}, 3);
}

// Nibbles that stand for levels: rows and columns that end within a tile and a unit, and the input
// cut into slices.
TEST(MatvecTest, Levels) {
  for (const int64_t tokens : {1, 2, 7}) {
    CheckPlain({WeightLayout::kIq4Nl, 19, 2112, 32}, tokens);
    CheckPlain({WeightLayout::kIq4Nl, 40, 640, 640}, tokens);
    CheckPlain({WeightLayout::kIq4Xs, 19, 2560, 0}, tokens);
    CheckPlain({WeightLayout::kNvfp4, 19, 2112, 0}, tokens);
    CheckPlain({WeightLayout::kNvfp4, 7, 96, 0}, tokens);  // any shape
    CheckPlain({WeightLayout::kNvfp4, 65, 5376, 0}, tokens);
    for (const WeightLayout layout :  // whole units, rows that follow one another
         {WeightLayout::kIq4Nl, WeightLayout::kIq4Xs, WeightLayout::kNvfp4})
      CheckPlain({layout, 64, 4352, GroupOf(layout)}, tokens);
  }
  for (const WeightLayout layout : {WeightLayout::kIq4Xs, WeightLayout::kNvfp4})
    CheckPlain({layout, 32, 21504, 0}, 8);
}

TEST(MatvecTest, Groups) {
  for (const WeightLayout layout :
       {WeightLayout::kInt8, WeightLayout::kInt4, WeightLayout::kInt4Min}) {
    for (const uint32_t group : {64u, 128u, 768u}) CheckPlain({layout, 48, 768, group}, 2);
  }
}

// No tiles: columns that are no multiple of 32, odd numbers of groups, groups of 256.
TEST(MatvecTest, AnyShape) {
  CheckPlain({WeightLayout::kF32, 9, 50, 0}, 3);
  CheckPlain({WeightLayout::kBF16, 9, 33, 0}, 8);
  CheckPlain({WeightLayout::kInt4, 9, 96, 32}, 1);
  CheckPlain({WeightLayout::kInt5Min, 9, 512, 256}, 2);
}

TEST(MatvecTest, ManyUnitsRunThroughTheRing) {
  CheckPlain({WeightLayout::kInt4, 401, 5376, 32}, 1);
  CheckPlain({WeightLayout::kInt4, 65, 21504, 32}, 1);
  CheckPlain({WeightLayout::kInt4, 32, 21504, 32}, 8);  // the input is cut into slices
}

// The streamed kernel: tiles of 16 rows, slices and pieces of long rows, more chunks than the
// blocks begin with, and counters that are zero again for the next launch.
TEST(MatvecTest, Streamed) {
  for (const WeightLayout layout : {WeightLayout::kInt4, WeightLayout::kInt4Min}) {
    for (const int64_t tokens : {1, 2, 3, 8}) {
      CheckPlain({layout, 16, 256, 32}, tokens);
      CheckPlain({layout, 48, 5376, 32}, tokens);
      CheckPlain({layout, 64, 8192, 32}, tokens);  // two pieces, or slices
    }
    CheckPlain({layout, 480, 512, 32}, 1);
    CheckPlain({layout, 112, 21504, 32}, 1);  // four pieces
    CheckPlain({layout, 48, 21504, 32}, 5);
  }
}

void CheckOutputsThatShareAnInput(uint32_t k_rows) {
  std::mt19937 random(5);
  TestContext context;
  const uint32_t columns = 768;
  const uint32_t q_rows = 3 * k_rows;
  const RandomWeight q({WeightLayout::kInt4, q_rows, columns, 32}, random),
      k({WeightLayout::kInt4, k_rows, columns, 32}, random),
      v({WeightLayout::kQ6_K, 24, columns, 0}, random);
  const ActivationValues in = RandomActivations(columns, 1, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> q_out(q_rows), k_out(k_rows), v_out(24);
  Product op;
  op.tokens = 1;
  op.in = device_in.get();
  op.outputs = {
      {q.on_device(), q_out.get()}, {v.on_device(), v_out.get()}, {k.on_device(), k_out.get()}};
  ASSERT_TRUE(RunMatvec(op, context.get()).ok());
  ExpectClose("q", q_out.Read(), Reference(q, in.values, 1), kRelative, kEach);
  ExpectClose("k", k_out.Read(), Reference(k, in.values, 1), kRelative, kEach);
  ExpectClose("v", v_out.Read(), Reference(v, in.values, 1), kRelative, kEach);
}

TEST(MatvecTest, OutputsShareAnInput) {
  CheckOutputsThatShareAnInput(24);
  CheckOutputsThatShareAnInput(32);
}

void CheckGated(WeightLayout gate_layout, WeightLayout up_layout, int64_t tokens,
                uint32_t rows = 203, bool paired = false) {
  std::mt19937 random(7);
  TestContext context;
  const uint32_t columns = 1280;
  const RandomWeight gate({gate_layout, rows, columns, GroupOf(gate_layout)}, random),
      up({up_layout, rows, columns, GroupOf(up_layout)}, random);
  const ActivationValues in = RandomInput(paired, tokens, columns, 1, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<uint16_t> out((paired ? 2 : 1) * static_cast<size_t>(tokens) * rows);
  Product op;
  op.tokens = tokens;
  op.in_number = paired ? Number::kFloat16Pair : Number::kFloat16;
  op.in = device_in.get();
  op.outputs = {{gate.on_device(), out.get()}, {up.on_device(), nullptr}};
  op.gated = true;
  op.out_number = op.in_number;
  ASSERT_TRUE(RunMatvec(op, context.get()).ok());
  std::vector<float> a = Reference(gate, in.values, tokens), b = Reference(up, in.values, tokens);
  reference::Compute(GatedGelu{a.data(), b.data(), static_cast<int64_t>(a.size()), a.data()});
  const std::string name = absl::StrCat("gated ", WeightLayoutName(gate_layout), ", ", tokens,
                                        " tokens, ", paired ? "pairs" : "float16", " out");
  if (paired) {
    ExpectClose(name, FromPairs(out.Read(), rows), a, 2 * kRelative, 2 * kEach);
  } else {
    ExpectClose(name, FromActivations(out.Read()), a, 5e-4, 5e-3);
  }
}

TEST(MatvecTest, GatedPairs) {
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 1, 203, true);
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 1, 200, true);  // streamed
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 4, 200, true);
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ4_K, 3, 203, true);
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ6_K, 2, 203, true);  // of different layouts
}

TEST(MatvecTest, Gated) {
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 1);
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 1, 200);  // streamed
  CheckGated(WeightLayout::kInt4Min, WeightLayout::kInt4Min, 2, 200);
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 7, 200);
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ4_K, 4);
  for (const WeightLayout layout : {WeightLayout::kIq4Xs, WeightLayout::kNvfp4})
    CheckGated(layout, layout, 2);
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ6_K, 2);  // of different layouts
}

TEST(MatvecTest, Softcap) {
  std::mt19937 random(8);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt8, 300, 512, 512}, random);
  const ActivationValues in = RandomActivations(512, 60, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> out(300);
  Product op;
  op.tokens = 1;
  op.in = device_in.get();
  op.outputs = {{weight.on_device(), out.get()}};
  op.softcap = 30;
  ASSERT_TRUE(RunMatvec(op, context.get()).ok());
  std::vector<float> expected = Reference(weight, in.values, 1);
  reference::Compute(Softcap{expected.data(), 300, 30, expected.data()});
  ExpectClose("softcap 30", out.Read(), expected, kRelative, kEach);
}

// x_out = (x + norm(branch)) * scalar, in = norm(x_out): the product is exact for the input as it
// was rounded to float16.
void CheckFusedNorm(uint32_t columns, uint32_t rows, bool paired) {
  std::mt19937 random(columns);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt4, rows, columns, 32}, random);
  const std::vector<float> x = RandomFloats(columns, 3, random),
                           branch = RandomFloats(columns, 5, random),
                           w1 = RandomFloats(columns, 1, random),
                           w2 = RandomFloats(columns, 1, random);
  const DeviceArray<float> device_x(x), device_branch(branch), device_w1(w1), device_w2(w2),
      scalar(std::vector<float>{0.7f});
  DeviceArray<float> x_out(columns), out(rows);
  Product op;
  op.tokens = 1;
  op.in_number = paired ? Number::kFloat16Pair : Number::kFloat16;
  op.norm = {device_x.get(), device_branch.get(), device_w1.get(),
             scalar.get(),   device_w2.get(),     x_out.get(),
             1e-6f};
  op.outputs = {{weight.on_device(), out.get()}};
  ASSERT_TRUE(RunMatvec(op, context.get()).ok());
  std::vector<float> stream(columns), in(columns);
  reference::Compute(
      RmsNorm{branch.data(), w1.data(), x.data(), 1, columns, columns, 1e-6f, 0.7f, stream.data()});
  ExpectClose(absl::StrCat("fused norm ", columns, ": stream"), x_out.Read(), stream, 1e-6, 1e-5);
  reference::Compute(
      RmsNorm{stream.data(), w2.data(), nullptr, 1, columns, columns, 1e-6f, 1, in.data()});
  ExpectClose(absl::StrCat("fused norm ", columns, ": product", paired ? " of pairs" : ""),
              out.Read(), Reference(weight, in, 1), paired ? kRelative : 5e-4,
              paired ? kEach : 3e-3);
}

TEST(MatvecTest, FusedNorm) {
  for (const bool paired : {false, true}) {
    CheckFusedNorm(640, 88, paired);
    CheckFusedNorm(5376, 88, paired);
    CheckFusedNorm(5376, 96, paired);
    CheckFusedNorm(5632, 48, paired);   // pieces
    CheckFusedNorm(640, 1600, paired);  // copies still run when the norm is computed
  }
}

// The same bits whatever the timing.
TEST(MatvecTest, IsDeterministic) {
  std::mt19937 random(9);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt4, 160, 8192, 32}, random);
  const DeviceArray<uint16_t> in(RandomActivations(8192, 1, random).bits);
  std::vector<std::vector<float>> results;
  for (int run = 0; run < 3; ++run) {
    DeviceArray<float> out(160);
    Product op;
    op.tokens = 1;
    op.in = in.get();
    op.outputs = {{weight.on_device(), out.get()}};
    ASSERT_TRUE(RunMatvec(op, context.get()).ok());
    results.push_back(out.Read());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(MatvecTest, RefusesInASentence) {
  std::mt19937 random(1);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt4, 16, 64, 32}, random),
      other({WeightLayout::kInt4, 16, 128, 32}, random);
  Product op;
  op.tokens = 9;
  op.outputs = {{weight.on_device(), nullptr}};
  EXPECT_EQ(RunMatvec(op, context.get()).message(),
            "matvec: 9 tokens (1 to 8; use the GEMM for more)");
  op.tokens = 5;
  op.in_number = Number::kFloat16Pair;
  EXPECT_EQ(RunMatvec(op, context.get()).message(),
            "matvec: 5 tokens of pairs (1 to 4; use the GEMM for more)");
  op.tokens = 1;
  op.in_number = Number::kFloat16;
  op.outputs.push_back({other.on_device(), nullptr});
  EXPECT_EQ(RunMatvec(op, context.get()).message(),
            "matvec: weights of 128 and 64 columns cannot share an input");
}

}  // namespace
}  // namespace gemma::cuda
