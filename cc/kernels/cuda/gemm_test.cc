#include "cc/kernels/cuda/gemm.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/cuda/testing/half_values.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

// Weights are rounded to float16: 2^-12 of each at the root mean square, about.
constexpr double kRelative = 5e-4;
constexpr double kEach = 4e-3;

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

void CheckPlain(const WeightShape& shape, int64_t tokens) {
  std::mt19937 random(shape.rows * 31 + shape.columns + static_cast<uint32_t>(tokens));
  TestContext context;
  const RandomWeight weight(shape, random);
  const HalfValues in = RandomActivations(static_cast<size_t>(tokens) * shape.columns, 1, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> out(static_cast<size_t>(tokens) * shape.rows);
  Gemm op;
  op.tokens = tokens;
  op.in = device_in.get();
  op.outputs = {{weight.on_device(), out.get()}};
  RequireOk(RunGemm(op, context.get()));
  ExpectClose(Name(shape, tokens), out.Read(), Reference(weight, in.values, tokens), kRelative,
              kEach);
}

const WeightLayout kLayouts[] = {
    WeightLayout::kF32,  WeightLayout::kF16,     WeightLayout::kBF16, WeightLayout::kInt8,
    WeightLayout::kInt4, WeightLayout::kInt4Min, WeightLayout::kInt5, WeightLayout::kInt5Min,
    WeightLayout::kQ4_K, WeightLayout::kQ5_K,    WeightLayout::kQ6_K};

TEST(GemmTest, AnyShape) {
  for (const WeightLayout layout : kLayouts) CheckPlain({layout, 72, 256, GroupOf(layout)}, 9);
  CheckPlain({WeightLayout::kF32, 9, 50, 0}, 3);
  CheckPlain({WeightLayout::kBF16, 65, 33, 0}, 66);
  CheckPlain({WeightLayout::kInt5Min, 9, 512, 256}, 12);
}

TEST(GemmTest, OutputsShareAnInput) {
  std::mt19937 random(5);
  TestContext context;
  const uint32_t columns = 512;
  const RandomWeight q({WeightLayout::kInt4, 136, columns, 32}, random),
      k({WeightLayout::kInt4, 24, columns, 32}, random),
      v({WeightLayout::kQ6_K, 24, columns, 0}, random);
  const int64_t tokens = 11;
  const HalfValues in = RandomActivations(columns * tokens, 1, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> q_out(136 * tokens), k_out(24 * tokens), v_out(24 * tokens);
  Gemm op;
  op.tokens = tokens;
  op.in = device_in.get();
  op.outputs = {
      {q.on_device(), q_out.get()}, {v.on_device(), v_out.get()}, {k.on_device(), k_out.get()}};
  RequireOk(RunGemm(op, context.get()));
  ExpectClose("q", q_out.Read(), Reference(q, in.values, tokens), kRelative, kEach);
  ExpectClose("k", k_out.Read(), Reference(k, in.values, tokens), kRelative, kEach);
  ExpectClose("v", v_out.Read(), Reference(v, in.values, tokens), kRelative, kEach);
}

void CheckGated(WeightLayout gate_layout, WeightLayout up_layout, int64_t tokens) {
  std::mt19937 random(7);
  TestContext context;
  const uint32_t rows = 203, columns = 512;
  const RandomWeight gate({gate_layout, rows, columns, GroupOf(gate_layout)}, random),
      up({up_layout, rows, columns, GroupOf(up_layout)}, random);
  const HalfValues in = RandomActivations(static_cast<size_t>(tokens) * columns, 1, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<uint16_t> out(static_cast<size_t>(tokens) * rows);
  Gemm op;
  op.tokens = tokens;
  op.in = device_in.get();
  op.outputs = {{gate.on_device(), out.get()}, {up.on_device(), nullptr}};
  op.gated = op.half_out = true;
  RequireOk(RunGemm(op, context.get()));
  std::vector<float> a = Reference(gate, in.values, tokens), b = Reference(up, in.values, tokens);
  reference::Compute(GatedGelu{a.data(), b.data(), static_cast<int64_t>(a.size()), a.data()});
  ExpectClose(
      absl::StrCat("gated ", WeightLayoutName(gate_layout), ", ", tokens, " tokens, float16 out"),
      ActivationsToFloats(out.Read()), a, 1e-3, 1e-2);
}

TEST(GemmTest, Gated) {
  CheckGated(WeightLayout::kInt4, WeightLayout::kInt4, 9);
  CheckGated(WeightLayout::kQ4_K, WeightLayout::kQ6_K, 10);  // of different layouts
}

TEST(GemmTest, Softcap) {
  std::mt19937 random(8);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt8, 300, 512, 512}, random);
  const HalfValues in = RandomActivations(512 * 9, 60, random);
  const DeviceArray<uint16_t> device_in(in.bits);
  DeviceArray<float> out(300 * 9);
  Gemm op;
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
  Gemm op;
  EXPECT_EQ(RunGemm(op, context.get()).message(), "gemm: 0 tokens");
  op.tokens = 9;
  EXPECT_EQ(RunGemm(op, context.get()).message(), "gemm: 0 outputs (1 to 4)");
  op.outputs = {{weight.on_device(), nullptr}, {other.on_device(), nullptr}};
  EXPECT_EQ(RunGemm(op, context.get()).message(),
            "gemm: weights of 128 and 64 columns cannot share an input");
}

}  // namespace
}  // namespace gemma::cuda
