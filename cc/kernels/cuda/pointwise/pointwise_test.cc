#include "cc/kernels/cuda/pointwise/pointwise.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/device/matrix_from.h"
#include "cc/kernels/cuda/testing/dequantize.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

TEST(DequantizeTest, EqualsTheReferenceToTheLastBit) {
  std::mt19937 random(3);
  TestContext context;
  for (const WeightLayout layout : kAllWeightLayouts) {
    for (const uint32_t group : {32u, 64u, 512u}) {
      if (!HasGroups(layout) && group != 32) continue;
      const RandomWeight weight({layout, 5, 512, HasGroups(layout) ? group : 0}, random);
      DeviceArray<float> out(5 * 512);
      ASSERT_EQ(LaunchDequantize(MatrixFrom(weight.on_device()), out.get(), context->stream),
                cudaSuccess);
      std::vector<float> expected(5 * 512);
      for (int r = 0; r < 5; ++r)
        reference::DequantizeRow(weight.host(), r, &expected[static_cast<size_t>(r) * 512]);
      const std::vector<float> actual = out.Read();
      EXPECT_EQ(std::memcmp(actual.data(), expected.data(), expected.size() * sizeof(float)), 0)
          << WeightLayoutName(layout) << " group " << group;
    }
  }
}

TEST(EmbedTest, ScalesRows) {
  std::mt19937 random(4);
  TestContext context;
  const RandomWeight weight({WeightLayout::kInt8, 50, 320, 320}, random);
  const std::vector<int64_t> ids = {49, 0, 7, 7};
  const DeviceArray<int64_t> device_ids(ids);
  DeviceArray<float> out(4 * 320);
  EmbedParams op;
  op.ids = device_ids.get();
  op.tokens = 4;
  op.scale = 73.5f;
  op.out = out.get();
  ASSERT_TRUE(RunEmbed(weight.on_device(), op, context.get()).ok());
  std::vector<float> expected(4 * 320);
  reference::Compute(Embed{weight.host(), ids.data(), 4, 73.5f, expected.data()});
  ExpectClose("embed", out.Read(), expected, 1e-7, 1e-6);
}

struct NormCase {
  int64_t rows;
  int32_t columns;
  bool branch;
  bool half_branch;
  bool half_out;
  bool paired_out = false;
};

void CheckNorm(const NormCase& c) {
  std::mt19937 random(static_cast<uint32_t>(c.columns));
  TestContext context;
  const size_t size = static_cast<size_t>(c.rows * c.columns),
               width = static_cast<size_t>(c.columns);
  const ActivationValues branch = RandomActivations(size, 4, random);
  const std::vector<float> x = RandomFloats(size, 2, random), w1 = RandomFloats(width, 1, random),
                           w2 = RandomFloats(width, 1, random);
  const DeviceArray<uint16_t> branch_bits(branch.bits);
  const DeviceArray<float> branch_floats(branch.values), device_x(x), device_w1(w1), device_w2(w2),
      scalar(std::vector<float>{0.3f});
  DeviceArray<float> x_out(size), out(size);
  DeviceArray<uint16_t> out_bits(c.paired_out ? 2 * size : size);
  NormParams op;
  op.x = device_x.get();
  if (c.branch) {
    op.branch = c.half_branch ? Activations{branch_bits.get(), Number::kFloat16}
                              : Activations{branch_floats.get()};
    op.branch_weight = device_w1.get();
    op.scalar = scalar.get();
    op.x_out = x_out.get();
  }
  op.weight = device_w2.get();
  op.out = c.half_out
               ? Activations{out_bits.get(), c.paired_out ? Number::kFloat16Pair : Number::kFloat16}
               : Activations{out.get()};
  op.rows = c.rows;
  op.columns = c.columns;
  op.epsilon = 1e-6f;
  ASSERT_TRUE(RunNorm(op, context.get()).ok());
  std::vector<float> stream = x, expected(size);
  const std::string name =
      absl::StrCat("norm ", c.rows, "x", c.columns, c.branch ? " + branch" : "");
  if (c.branch) {
    reference::Compute(RmsNorm{branch.values.data(), w1.data(), x.data(), c.rows, c.columns,
                               c.columns, 1e-6f, 0.3f, stream.data()});
    ExpectClose(name + ": stream", x_out.Read(), stream, 1e-6, 1e-5);
  }
  reference::Compute(RmsNorm{stream.data(), w2.data(), nullptr, c.rows, c.columns, c.columns, 1e-6f,
                             1, expected.data()});
  if (c.paired_out) {
    ExpectClose(name + ": pairs", FromPairs(out_bits.Read(), width), expected, 1e-6, 1e-5);
  } else if (c.half_out) {
    ExpectClose(name + ": float16", FromActivations(out_bits.Read()), expected, 4e-4, 4e-3);
  } else {
    ExpectClose(name, out.Read(), expected, 1e-6, 1e-5);
  }
}

TEST(NormTest, OneAndTwo) {
  CheckNorm({1, 640, false, false, false});
  CheckNorm({3, 5376, true, false, true});
  CheckNorm({2, 1028, true, true, false});
  CheckNorm({5, 4, true, false, false});
  CheckNorm({3, 5376, true, false, true, true});
  CheckNorm({2, 640, false, false, true, true});
}

// The longest row of each kernel, and the shortest of the longer one.
TEST(NormTest, LongRows) {
  for (const int32_t columns : {NormColumns(kUsualNormPieces), NormColumns(kUsualNormPieces) + 4,
                                NormColumns(kMaxNormPieces)})
    CheckNorm({2, columns, true, true, true});
}

TEST(PointwiseTest, AllThree) {
  std::mt19937 random(6);
  TestContext context;
  constexpr int64_t kSize = 1027;
  const ActivationValues a = RandomActivations(kSize, 3, random),
                         b = RandomActivations(kSize, 3, random);
  const DeviceArray<uint16_t> a_bits(a.bits), b_bits(b.bits);
  const DeviceArray<float> a_floats(a.values), b_floats(b.values);
  std::vector<float> expected(kSize);
  DeviceArray<float> out(kSize);
  auto run = [&](Pointwise operation, bool half) {
    PointwiseParams op;
    op.operation = operation;
    op.a = half ? Activations{a_bits.get(), Number::kFloat16} : Activations{a_floats.get()};
    op.b = half ? Activations{b_bits.get(), Number::kFloat16} : Activations{b_floats.get()};
    op.out = {out.get()};
    op.size = kSize;
    op.cap = 2;
    ASSERT_TRUE(RunPointwise(op, context.get()).ok());
  };
  for (const bool half : {false, true}) {
    run(Pointwise::kGatedGelu, half);
    reference::Compute(GatedGelu{a.values.data(), b.values.data(), kSize, expected.data()});
    ExpectClose("gated gelu", out.Read(), expected, 1e-6, 1e-5);
    run(Pointwise::kAdd, half);
    reference::Compute(Add{a.values.data(), b.values.data(), kSize, expected.data()});
    ExpectClose("add", out.Read(), expected, 1e-7, 1e-6);
    run(Pointwise::kSoftcap, half);
    reference::Compute(Softcap{a.values.data(), kSize, 2, expected.data()});
    ExpectClose("softcap", out.Read(), expected, 1e-6, 1e-5);
  }
}

TEST(PointwiseTest, ToPairs) {
  std::mt19937 random(6);
  TestContext context;
  constexpr int64_t kRows = 3, kColumns = 201, kSize = kRows * kColumns;
  const std::vector<float> a = RandomFloats(kSize, 3, random), b = RandomFloats(kSize, 3, random);
  const DeviceArray<float> device_a(a), device_b(b);
  DeviceArray<uint16_t> out(2 * kSize);
  PointwiseParams op;
  op.operation = Pointwise::kGatedGelu;
  op.a = {device_a.get()};
  op.b = {device_b.get()};
  op.out = {out.get(), Number::kFloat16Pair};
  op.size = kSize;
  op.columns = kColumns;
  ASSERT_TRUE(RunPointwise(op, context.get()).ok());
  std::vector<float> expected(kSize);
  reference::Compute(GatedGelu{a.data(), b.data(), kSize, expected.data()});
  ExpectClose("gated gelu to pairs", FromPairs(out.Read(), kColumns), expected, 1e-6, 1e-5);
}

TEST(NormTest, RefusesInASentence) {
  TestContext context;
  NormParams op;
  op.columns = 6;
  op.rows = 1;
  EXPECT_EQ(RunNorm(op, context.get()).message(), "norm: 6 columns (a multiple of 4 up to 24576)");
  op.columns = NormColumns(kMaxNormPieces) + 4;
  EXPECT_EQ(RunNorm(op, context.get()).message(),
            "norm: 24580 columns (a multiple of 4 up to 24576)");
}

}  // namespace
}  // namespace gemma::cuda
