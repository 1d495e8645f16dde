#include "cc/kernels/cuda/gemm/gemm.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

// Weights are rounded to float16: 2^-12 of each at the root mean square, about.
constexpr double kRelative = 5e-4;
constexpr double kEach = 4e-3;
constexpr double kExact = 2e-5;  // relative, of float32 sums

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

uint32_t GroupOf(WeightLayout layout) { return HasGroups(layout) ? 32 : 0; }

// Under emulation; a real GPU is what it is.
struct Gpu {
  int compute_major;
  int shared_kb;  // that a block may use
};
constexpr Gpu kHopper{9, 227};
constexpr Gpu kAmpere{8, 163};
constexpr Gpu kAda{8, 99};
constexpr Gpu kEveryGpu[] = {kHopper, kAmpere, kAda};

ActivationValues RandomInput(bool paired, int64_t tokens, uint32_t columns, float scale,
                             std::mt19937& random) {
  const size_t size = static_cast<size_t>(tokens) * columns;
  return paired ? RandomPairs(size, columns, scale, random)
                : RandomActivations(size, scale, random);
}

// `offset`: of the input in its memory, in numbers
void CheckPlain(const WeightShape& shape, int64_t tokens, const Gpu& gpu = kHopper,
                bool paired = false, size_t offset = 0) {
  std::mt19937 random(shape.rows * 31 + shape.columns + static_cast<uint32_t>(tokens));
  TestContext context(gpu.compute_major, gpu.shared_kb);
  const RandomWeight weight(shape, random);
  const ActivationValues in = RandomInput(paired, tokens, shape.columns, 1, random);
  std::vector<uint16_t> bits(offset);
  bits.insert(bits.end(), in.bits.begin(), in.bits.end());
  const DeviceArray<uint16_t> device_in(bits);
  DeviceArray<float> out(static_cast<size_t>(tokens) * shape.rows);
  Product op;
  op.tokens = tokens;
  op.in_number = paired ? Number::kFloat16Pair : Number::kFloat16;
  op.in = device_in.get() + offset;
  op.outputs = {{weight.on_device(), out.get()}};
  RequireOk(RunGemm(op, context.get()));
  const std::string kernel(PlanGemm(op, context->device)[0].kernel);
  // With weights that are float16 themselves nothing but sums is rounded, pairs or not. NVFP4 without
  // the scale of its row is float16.
  const bool exact = shape.layout == WeightLayout::kF16 ||
                     (shape.layout == WeightLayout::kNvfp4 && kernel != "gemm any shape");
  ExpectClose(absl::StrCat(kernel, ": ", Name(shape, tokens), paired ? " in pairs" : ""),
              out.Read(), Reference(weight, in.values, tokens), exact ? kExact : kRelative,
              exact ? 10 * kExact : kEach);
}

TEST(GemmTest, EveryLayout) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    CheckPlain({layout, 300, 512, GroupOf(layout)}, 9);
    CheckPlain({layout, 300, 512, GroupOf(layout)}, 66, kAmpere);
    CheckPlain({layout, 140, 512, GroupOf(layout)}, 66, kAda);
  }
}

// Tiles of 64 and 128 rows of the input, which are half as many tokens, and borders within them.
TEST(GemmTest, Pairs) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    CheckPlain({layout, 300, 512, GroupOf(layout)}, 9, kHopper, true);
    CheckPlain({layout, 72, 256, GroupOf(layout)}, 33, kAmpere, true);
  }
  for (const int64_t tokens : {1, 31, 32, 33, 64, 65})
    CheckPlain({WeightLayout::kF16, 257, 512, 0}, tokens, kHopper, true);
  CheckPlain({WeightLayout::kF16, 1400, 1024, 0}, 35, kHopper, true);  // blocks share tiles
  CheckPlain({WeightLayout::kF16, 9, 33, 0}, 5, kHopper, true);        // any shape
}

// Tiles of 64 and 128 tokens and their borders.
TEST(GemmTest, TokenCounts) {
  for (const Gpu& gpu : kEveryGpu) {
    for (const int64_t tokens : {1, 17, 63, 64, 65, 127, 128, 129, 257})
      CheckPlain({WeightLayout::kInt4, 40, 512, 32}, tokens, gpu);
  }
}

// Units of 256, 128 and 64 columns that the matrix ends within,
// and rows of one tile and a few more.
TEST(GemmTest, OddSizes) {
  for (const WeightLayout layout :
       {WeightLayout::kInt4, WeightLayout::kInt8, WeightLayout::kBF16}) {
    for (const Gpu& gpu : kEveryGpu) {
      for (const uint32_t columns : {64u, 640u, 1088u})
        CheckPlain({layout, 33, columns, GroupOf(layout)}, 9, gpu);
      for (const uint32_t rows : {1u, 257u})
        CheckPlain({layout, rows, 256, GroupOf(layout)}, 9, gpu);
    }
  }
  CheckPlain({WeightLayout::kBF16, 33, 72, 0}, 9);
  for (const WeightLayout layout : kAllWeightLayouts)
    CheckPlain({layout, 256, 768, GroupOf(layout)}, 9);
  CheckPlain({WeightLayout::kQ6_K, 33, 768, 0}, 9);
  CheckPlain({WeightLayout::kQ4_K, 33, 1280, 0}, 9);
  // An odd number of blocks a row, whose scales begin at odd places.
  CheckPlain({WeightLayout::kQ6_K, 129, 768, 0}, 9, kAmpere);
  CheckPlain({WeightLayout::kBF16, 33, 72, 0}, 9, kAmpere);
}

// Nibbles that stand for levels: whole tiles and units, and matrices that end within them.
TEST(GemmTest, Levels) {
  for (const WeightLayout layout :
       {WeightLayout::kIq4Nl, WeightLayout::kIq4Xs, WeightLayout::kNvfp4}) {
    CheckPlain({layout, 256, 768, GroupOf(layout)}, 9);
    CheckPlain({layout, 300, 1280, GroupOf(layout)}, 66);
    CheckPlain({layout, 72, 256, GroupOf(layout)}, 33, kHopper, true);
    CheckPlain({layout, 72, 256, GroupOf(layout)}, 9, kAmpere);
  }
  CheckPlain({WeightLayout::kIq4Nl, 33, 1088, 32}, 9);
  CheckPlain({WeightLayout::kIq4Nl, 48, 768, 768}, 10);
  for (const uint32_t columns : {64u, 96u, 1088u})
    CheckPlain({WeightLayout::kNvfp4, 33, columns, 0}, 9);
}

TEST(GemmTest, Groups) {
  for (const Gpu& gpu : kEveryGpu) {
    for (const WeightLayout layout : {WeightLayout::kInt8, WeightLayout::kInt4})
      for (const uint32_t group : {64u, 128u, 768u}) CheckPlain({layout, 48, 768, group}, 10, gpu);
    for (const uint32_t group : {64u, 128u})
      CheckPlain({WeightLayout::kInt4Min, 48, 768, group}, 10, gpu);
  }
}

// Whole tiles for every block, and tiles that blocks share: 2 to 4 of the emulated ones.
TEST(GemmTest, BlocksShareTiles) {
  CheckPlain({WeightLayout::kInt4, 1400, 1024, 32}, 65, kAmpere);
  CheckPlain({WeightLayout::kQ4_K, 300, 2048, 0}, 9, kAda);
  CheckPlain({WeightLayout::kInt4, 1400, 1024, 32}, 65);
  CheckPlain({WeightLayout::kInt8, 20, 4096, 32}, 9);
  CheckPlain({WeightLayout::kQ4_K, 600, 2048, 0}, 70);
}

TEST(GemmTest, AnyShape) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    // The input, a number behind what other kernels copy from, is what makes it any shape.
    CheckPlain({layout, 72, 256, GroupOf(layout)}, 9, kHopper, false, 1);
  }
  CheckPlain({WeightLayout::kF32, 9, 50, 0}, 3);
  CheckPlain({WeightLayout::kBF16, 65, 33, 0}, 66);
  CheckPlain({WeightLayout::kInt5Min, 9, 512, 256}, 12);
  CheckPlain({WeightLayout::kInt4, 9, 96, 32}, 12);
}

// The same bits whatever the timing.
TEST(GemmTest, IsDeterministic) {
  std::mt19937 random(9);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt4, 160, 2560, 32}, random);
  const DeviceArray<uint16_t> in(RandomActivations(2560 * 20, 1, random).bits);
  std::vector<std::vector<float>> results;
  for (int run = 0; run < 3; ++run) {
    DeviceArray<float> out(160 * 20);
    Product op;
    op.tokens = 20;
    op.in = in.get();
    op.outputs = {{weight.on_device(), out.get()}};
    RequireOk(RunGemm(op, context.get()));
    results.push_back(out.Read());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(GemmTest, SaysWhichKernel) {
  std::mt19937 random(1);
  const RandomWeight q4k({WeightLayout::kQ4_K, 16, 256, 0}, random),
      f32({WeightLayout::kF32, 16, 256, 0}, random);
  Product op;
  op.tokens = 9;
  op.outputs = {{q4k.on_device(), nullptr}, {f32.on_device(), nullptr}};
  Device device;
  device.compute_major = device.code_major = kHopper.compute_major;
  device.shared_bytes = 227 << 10;
  EXPECT_EQ(PlanGemm(op, device)[0].kernel, "gemm Hopper");
  EXPECT_EQ(PlanGemm(op, device)[1].kernel, "gemm any shape");
  EXPECT_FALSE(HasTileGemm(op, device));
  op.gated = true;  // of different layouts
  EXPECT_EQ(PlanGemm(op, device)[0].kernel, "gemm any shape");
  op.gated = false;
  device.compute_major = device.code_major = kAmpere.compute_major;
  EXPECT_EQ(PlanGemm(op, device)[0].kernel, "gemm Ampere");
  EXPECT_EQ(PlanGemm(op, device)[1].kernel, "gemm any shape");
}

TEST(GemmTest, OutputsShareAnInput) {
  std::mt19937 random(5);
  TestContext context;
  const uint32_t columns = 512;
  const RandomWeight q({WeightLayout::kInt4, 136, columns, 32}, random),
      k({WeightLayout::kInt4, 24, columns, 32}, random),
      v({WeightLayout::kQ6_K, 24, columns, 0}, random);
  const int64_t tokens = 11;
  const ActivationValues in = RandomActivations(columns * tokens, 1, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> q_out(136 * tokens), k_out(24 * tokens), v_out(24 * tokens);
  Product op;
  op.tokens = tokens;
  op.in = device_in.get();
  op.outputs = {
      {q.on_device(), q_out.get()}, {v.on_device(), v_out.get()}, {k.on_device(), k_out.get()}};
  RequireOk(RunGemm(op, context.get()));
  ExpectClose("q", q_out.Read(), Reference(q, in.values, tokens), kRelative, kEach);
  ExpectClose("k", k_out.Read(), Reference(k, in.values, tokens), kRelative, kEach);
  ExpectClose("v", v_out.Read(), Reference(v, in.values, tokens), kRelative, kEach);
}

void CheckGated(WeightLayout gate_layout, WeightLayout up_layout, int64_t tokens,
                uint32_t rows = 203, bool paired = false, const Gpu& gpu = kHopper) {
  std::mt19937 random(7);
  TestContext context(gpu.compute_major, gpu.shared_kb);
  const uint32_t columns = 512;
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
  RequireOk(RunGemm(op, context.get()));
  std::vector<float> a = Reference(gate, in.values, tokens), b = Reference(up, in.values, tokens);
  reference::Compute(GatedGelu{a.data(), b.data(), static_cast<int64_t>(a.size()), a.data()});
  const bool exact = gate_layout == WeightLayout::kF16;
  ExpectClose(absl::StrCat("gated ", WeightLayoutName(gate_layout), ", ", tokens, " tokens, ",
                           paired ? "pairs" : "float16", " out"),
              paired ? FromPairs(out.Read(), rows) : FromActivations(out.Read()), a,
              exact && paired ? 2 * kExact : 1e-3, exact && paired ? 20 * kExact : 1e-2);
}

TEST(GemmTest, GatedPairs) {
  for (const uint32_t rows : {256u, 100u, 51u}) {
    CheckGated(WeightLayout::kF16, WeightLayout::kF16, 5, rows, true);
    CheckGated(WeightLayout::kF16, WeightLayout::kF16, 35, rows, true);
  }
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 33, 203, true);
  CheckGated(WeightLayout::kF16, WeightLayout::kBF16, 10, 203, true);  // of different layouts
}

TEST(GemmTest, Gated) {
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 9);
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ4_K, 65);
  CheckGated(WeightLayout::kNvfp4, WeightLayout::kNvfp4, 65);
  CheckGated(WeightLayout::kBF16, WeightLayout::kBF16, 9);
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 65, 256);  // whole tiles
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ6_K, 10);       // of different layouts
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 65, 203, false, kAmpere);
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ4_K, 9, 128, false, kAmpere);
  CheckGated(WeightLayout::kF16, WeightLayout::kF16, 35, 100, true, kAmpere);
}

// Rows that halves are stored of in fours, and rows that they are not.
TEST(GemmTest, HalfOut) {
  for (const uint32_t rows : {256u, 100u, 51u}) {
    std::mt19937 random(rows);
    TestContext context;
    const RandomWeight weight({WeightLayout::kInt4, rows, 512, 32}, random);
    const ActivationValues in = RandomActivations(512 * 70, 1, random);
    const DeviceArray<uint16_t> device_in(in.bits);
    DeviceArray<uint16_t> out(rows * 70);
    Product op;
    op.tokens = 70;
    op.in = device_in.get();
    op.outputs = {{weight.on_device(), out.get()}};
    op.out_number = op.in_number;
    RequireOk(RunGemm(op, context.get()));
    ExpectClose(absl::StrCat("float16 out, ", rows, " rows"), FromActivations(out.Read()),
                Reference(weight, in.values, 70), kRelative, kEach);
  }
}

TEST(GemmTest, Softcap) {
  std::mt19937 random(8);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt8, 300, 512, 512}, random);
  const ActivationValues in = RandomActivations(512 * 9, 60, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> out(300 * 9);
  Product op;
  op.tokens = 9;
  op.in = device_in.get();
  op.outputs = {{weight.on_device(), out.get()}};
  op.softcap = 30;
  RequireOk(RunGemm(op, context.get()));
  std::vector<float> expected = Reference(weight, in.values, 9);
  reference::Compute(Softcap{expected.data(), 300 * 9, 30, expected.data()});
  ExpectClose("softcap 30", out.Read(), expected, kRelative, kEach);
}

TEST(GemmTest, RefusesInASentence) {
  std::mt19937 random(1);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt4, 16, 64, 32}, random),
      other({WeightLayout::kInt4, 16, 128, 32}, random);
  Product op;
  EXPECT_EQ(RunGemm(op, context.get()).message(), "gemm: 0 tokens");
  op.tokens = 9;
  EXPECT_EQ(RunGemm(op, context.get()).message(), "gemm: 0 outputs (1 to 4)");
  op.outputs = {{weight.on_device(), nullptr}, {other.on_device(), nullptr}};
  EXPECT_EQ(RunGemm(op, context.get()).message(),
            "gemm: weights of 128 and 64 columns cannot share an input");
}

}  // namespace
}  // namespace gemma::cuda
