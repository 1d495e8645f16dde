// The choice of kernels and what they ask for, at the real shapes, on every kind of GPU; and the
// arithmetic at the real widths.
#include "cc/kernels/cuda/product/product.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

// What a block may use on sm_86, sm_89 and sm_120; sm_80; sm_90 and sm_100.
struct Gpu {
  int major;
  size_t shared_kb;
};
constexpr Gpu kGpus[] = {{8, 99}, {12, 99}, {8, 163}, {9, 227}, {10, 227}};

Device DeviceOf(const Gpu& gpu) {
  Device device;
  device.compute_major = device.code_major = gpu.major;
  device.multiprocessors = 132;
  device.shared_bytes = gpu.shared_kb << 10;
  return device;
}

// Products of Gemma 4 31B: rows of each output, columns.
struct Shape {
  const char* name;
  std::vector<uint32_t> rows;
  uint32_t columns;
  bool gated = false;
  float softcap = 0;
};
const Shape kShapes[] = {
    {"q+k+v", {8192, 4096, 4096}, 5376},
    {"q+k, full", {16384, 2048}, 5376},
    {"o", {5376}, 8192},
    {"o, full", {5376}, 16384},
    {"gate+up", {21504, 21504}, 5376, true},
    {"down", {5376}, 21504},
    {"head", {262144}, 5376, false, 30},
};

// Groups that a layout may have at a width: 32 and one scale a row, or none.
std::vector<uint32_t> GroupsOf(WeightLayout layout, uint32_t columns) {
  if (!HasGroups(layout)) return {0};
  return {32, columns};
}

Product ProductOf(const Shape& shape, WeightLayout layout, uint32_t group, int64_t tokens,
                  Number number) {
  Product op;
  op.tokens = tokens;
  op.in_number = number;
  op.gated = shape.gated;
  op.out_number = shape.gated ? number : Number::kFloat32;
  op.softcap = shape.softcap;
  for (const uint32_t rows : shape.rows) {
    WeightView weight;
    weight.shape = {layout, rows, shape.columns, group};
    op.outputs.push_back({weight, nullptr});
  }
  return op;
}

// Calls check(op, name) for every shape, layout, group, number and 1 to 16 tokens.
template <typename Check>
void ForEachProduct(Check check) {
  for (const Shape& shape : kShapes) {
    for (int i = 0; i < kWeightLayouts; ++i) {
      const WeightLayout layout = static_cast<WeightLayout>(i);
      for (const uint32_t group : GroupsOf(layout, shape.columns)) {
        for (const Number number : {Number::kFloat16, Number::kFloat16Pair}) {
          for (int64_t tokens = 1; tokens <= 16; ++tokens) {
            check(ProductOf(shape, layout, group, tokens, number),
                  absl::StrCat(shape.name, " ", WeightLayoutName(layout), " group ", group, ", ",
                               tokens, IsPair(number) ? " tokens of pairs" : " tokens"));
          }
        }
      }
    }
  }
}

TEST(ProductTest, EveryShapeHasKernelsThatFitEveryGpu) {
  for (const Gpu& gpu : kGpus) {
    const Device device = DeviceOf(gpu);
    int count = 0;
    ForEachProduct([&](const Product& op, const std::string& name) {
      const std::vector<PlannedLaunch> launches = PlanProduct(op, device);
      EXPECT_FALSE(launches.empty()) << name;
      for (const PlannedLaunch& launch : launches) {
        EXPECT_LE(launch.shared_bytes, device.shared_bytes)
            << name << ": " << launch.kernel << " with " << gpu.shared_kb << " KB";
      }
      ++count;
    });
    // 8 layouts have no group to choose, 6 are tried with two.
    EXPECT_EQ(count, 7 * (8 + 2 * 6) * 2 * 16);
  }
}

// A block alone on its multiprocessor never asks for more than it may.
TEST(ProductTest, ExclusiveBlocksFitEveryGpu) {
  for (const Gpu& gpu : kGpus) {
    const Device device = DeviceOf(gpu);
    const size_t exclusive = ExclusiveSharedBytes(device);
    EXPECT_LE(exclusive, device.shared_bytes);
    EXPECT_GT(2 * (exclusive + 1024), device.shared_bytes + 1024);
  }
  EXPECT_EQ(ExclusiveSharedBytes(DeviceOf({9, 227})), size_t{114} << 10);
}

// Hopper: nothing at the real shapes is left to the fallbacks but what has no kernel by its layout.
TEST(ProductTest, HopperNeedsNoFallback) {
  const Device device = DeviceOf({9, 227});
  ForEachProduct([&](const Product& op, const std::string& name) {
    const WeightShape& shape = op.outputs[0].weight.shape;
    // No GEMM for float32, none for one scale and min a row.
    const bool row_mins = HasMins(shape.layout) && shape.group == shape.columns;
    if (shape.layout == WeightLayout::kF32 || row_mins) return;
    for (const PlannedLaunch& launch : PlanProduct(op, device))
      EXPECT_EQ(launch.kernel.find("any shape"), std::string::npos) << name;
  });
}

std::string KernelOf(const Shape& shape, WeightLayout layout, uint32_t group, int64_t tokens,
                     const Gpu& gpu) {
  const Product op = ProductOf(shape, layout, group, tokens, Number::kFloat16);
  return std::string(PlanProduct(op, DeviceOf(gpu))[0].kernel);
}

// Decoding the 31B on an H100: what the timings of docs/benchmarks were taken with.
TEST(ProductTest, ChoosesForTheH100) {
  const Gpu h100{9, 227};
  for (const Shape& shape : kShapes) {
    const bool head = shape.softcap > 0;
    const WeightLayout layout = head ? WeightLayout::kInt8 : WeightLayout::kInt4;
    const uint32_t group = head ? shape.columns : 32;
    const auto kernel = [&](int64_t tokens) {
      return KernelOf(shape, layout, group, tokens, h100);
    };
    for (int64_t tokens = 1; tokens <= (head ? 2 : 8); ++tokens)
      EXPECT_EQ(kernel(tokens), head ? "matvec tiles" : "matvec stream") << shape.name;
    EXPECT_EQ(kernel(9), "gemm Hopper") << shape.name;
    EXPECT_EQ(kernel(16), "gemm Hopper") << shape.name;
  }
  EXPECT_EQ(KernelOf(kShapes[4], WeightLayout::kQ4_K, 0, 8, h100), "matvec tiles");
  EXPECT_EQ(KernelOf(kShapes[5], WeightLayout::kQ4_K, 0, 4, h100), "gemm Hopper");
  // The input of 3 to 8 tokens and a ring of 8-bit weights do not fit together.
  EXPECT_EQ(KernelOf(kShapes[6], WeightLayout::kInt8, 5376, 4, h100), "gemm Hopper");
}

TEST(ProductTest, FusesNormsWhereTheInputFits) {
  const Product op = ProductOf(kShapes[4], WeightLayout::kInt4, 32, 1, Number::kFloat16);
  EXPECT_TRUE(CanFuseNorm(op, DeviceOf({9, 227})));
  EXPECT_TRUE(CanFuseNorm(op, DeviceOf({8, 163})));
  EXPECT_FALSE(CanFuseNorm(op, DeviceOf({8, 99})));
}

// ---- the arithmetic at the real widths, of few rows ----

constexpr double kRelative = 1e-3;
constexpr double kEach = 1e-2;

void CheckWidth(TestContext& context, const WeightShape& shape, float softcap, Number number,
                const std::vector<int64_t>& all_tokens) {
  std::mt19937 random(shape.columns + static_cast<uint32_t>(shape.layout));
  const RandomWeight weight(shape, random);
  for (const int64_t tokens : all_tokens) {
    const size_t size = static_cast<size_t>(tokens) * shape.columns;
    const ActivationValues in = IsPair(number) ? RandomPairs(size, shape.columns, 1, random)
                                               : RandomActivations(size, 1, random);
    const DeviceArray<uint16_t> device_in(in.bits);
    DeviceArray<float> out(static_cast<size_t>(tokens) * shape.rows);
    Product op;
    op.tokens = tokens;
    op.in = device_in.get();
    op.in_number = number;
    op.outputs = {{weight.on_device(), out.get()}};
    op.softcap = softcap;
    const absl::Status status = RunProduct(op, context.get());
    ASSERT_TRUE(status.ok()) << status;
    std::vector<float> expected(out.size());
    reference::Compute(Linear{weight.host(), in.values.data(), tokens, expected.data()});
    if (softcap > 0) {
      reference::Compute(Softcap{expected.data(), static_cast<int64_t>(expected.size()), softcap,
                                 expected.data()});
    }
    ExpectClose(absl::StrCat(PlanProduct(op, context->device)[0].kernel, ", ",
                             context->device.shared_bytes >> 10, " KB: ",
                             WeightLayoutName(shape.layout), " ", shape.rows, "x", shape.columns,
                             ", ", tokens, IsPair(number) ? " tokens of pairs" : " tokens"),
                out.Read(), expected, kRelative, kEach);
  }
}

std::vector<int64_t> Tokens(int64_t first, int64_t last) {
  std::vector<int64_t> tokens;
  for (int64_t t = first; t <= last; ++t) tokens.push_back(t);
  return tokens;
}

#ifdef GEMMA_CUDA_EMULATION

// Emulated threads are slow: few rows, and all tokens for the layouts of the 31B alone.
TEST(ProductTest, RealWidths) {
  TestContext context;
  CheckWidth(context, {WeightLayout::kInt8, 40, 5376, 5376}, 30, Number::kFloat16, Tokens(1, 16));
  CheckWidth(context, {WeightLayout::kInt4, 48, 5376, 32}, 0, Number::kFloat16, {1, 2, 3, 7, 8, 9});
  CheckWidth(context, {WeightLayout::kInt4, 32, 21504, 32}, 0, Number::kFloat16, {1, 2, 3, 8});
  CheckWidth(context, {WeightLayout::kInt4, 16, 16384, 32}, 0, Number::kFloat16, {1, 7});
  CheckWidth(context, {WeightLayout::kInt8, 40, 5376, 32}, 30, Number::kFloat16Pair, {1, 2, 4, 5});
}

TEST(ProductTest, EveryLayoutWithAsMuchSharedMemoryAsSmallerGpus) {
  for (const Gpu& gpu : {kGpus[0], kGpus[2]}) {
    TestContext context(gpu.major);
    context->device.shared_bytes = gpu.shared_kb << 10;
    for (int i = 0; i < kWeightLayouts; ++i) {
      const WeightLayout layout = static_cast<WeightLayout>(i);
      CheckWidth(context, {layout, 8, 5376, HasGroups(layout) ? 32u : 0u}, 30, Number::kFloat16,
                 {1, 2, 7});
    }
    CheckWidth(context, {WeightLayout::kInt4, 8, 21504, 32}, 0, Number::kFloat16, {1, 3});
  }
}

#else

// Rows enough that blocks claim tiles, and the whole vocabulary for the layouts of the 31B.
TEST(ProductTest, RealWidths) {
  TestContext context;
  for (int i = 0; i < kWeightLayouts; ++i) {
    const WeightLayout layout = static_cast<WeightLayout>(i);
    const uint32_t group = HasGroups(layout) ? 32 : 0;
    CheckWidth(context, {layout, 640, 5376, group}, 30, Number::kFloat16, Tokens(1, 16));
    CheckWidth(context, {layout, 320, 5376, group}, 0, Number::kFloat16Pair, Tokens(1, 5));
    CheckWidth(context, {layout, 160, 21504, group}, 0, Number::kFloat16, Tokens(1, 16));
  }
  CheckWidth(context, {WeightLayout::kInt8, 640, 5376, 5376}, 30, Number::kFloat16, Tokens(1, 16));
}

#endif

TEST(ProductTest, RefusesInASentence) {
  TestContext context;
  Product op = ProductOf(kShapes[0], WeightLayout::kInt4, 32, 0, Number::kFloat16);
  EXPECT_EQ(RunProduct(op, context.get()).message(), "product: 0 tokens");
  op.tokens = 1;
  op.out_number = Number::kFloat16Pair;
  EXPECT_EQ(RunProduct(op, context.get()).message(),
            "product: outputs are float32 or like the input, which is float16 or pairs of it");
}

}  // namespace
}  // namespace gemma::cuda
