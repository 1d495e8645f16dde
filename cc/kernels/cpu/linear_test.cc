#include <cmath>
#include <string>
#include <vector>

#include "cc/kernels/cpu/testing/kernel_test.h"
#include "cc/kernels/cpu/testing/tile_model.h"
#include "cc/kernels/reference.h"
#include "cc/kernels/testing/error_report.h"
#include "cc/kernels/testing/random_weight.h"

namespace gemma::cpu {
namespace {

std::string Describe(const WeightShape& shape, int64_t tokens) {
  return std::string(WeightLayoutName(shape.layout)) + " [" + std::to_string(shape.rows) + ", " +
         std::to_string(shape.columns) + "] group " + std::to_string(shape.group) + ", " +
         std::to_string(tokens) + " tokens";
}

// Shapes with odd rows, the smallest and large columns, every kind of group.
std::vector<WeightShape> Shapes(WeightLayout layout) {
  if (HasGroups(layout)) {
    return {{layout, 1, 32, 32},    {layout, 7, 640, 32},  {layout, 33, 640, 64},
            {layout, 33, 640, 640}, {layout, 5, 5376, 32}, {layout, 3, 4352, 4352},
            {layout, 14, 384, 128}};
  }
  if (HasBlocks(layout)) return {{layout, 1, 256, 0}, {layout, 33, 768, 0}, {layout, 7, 5376, 0}};
  if (!IsFloat(layout))
    return {{layout, 1, 32, 0}, {layout, 33, 672, 0}, {layout, 14, 352, 0}, {layout, 7, 5376, 0}};
  return {{layout, 1, 1, 0}, {layout, 7, 37, 0}, {layout, 33, 640, 0}, {layout, 5, 5376, 0}};
}

class LinearTest : public KernelTest {
 protected:
  // Compares all outputs; the tolerance of each is 1e-6 of the sum of |weight * input|.
  void Check(const RandomWeight& weight, int64_t tokens, int slices, ErrorReport& report) {
    const WeightShape& shape = weight.view().shape;
    const int64_t rows = shape.rows, columns = shape.columns;
    const std::vector<float> in =
        RandomFloats(tokens * columns, static_cast<uint32_t>(tokens + columns));
    std::vector<float> out(tokens * rows, std::nanf("")), expected(tokens * rows);
    const Linear op{weight.view(), in.data(), tokens, out.data()};
    Run(op, slices);
    reference::Compute(Linear{weight.view(), in.data(), tokens, expected.data()});
    std::vector<float> w(columns);
    for (int64_t r = 0; r < rows; ++r) {
      reference::DequantizeRow(weight.view(), r, w.data());
      for (int64_t t = 0; t < tokens && !HasFailure(); ++t) {
        double magnitude = 0;
        for (int64_t c = 0; c < columns; ++c) magnitude += std::abs(w[c] * in[t * columns + c]);
        report.Add(out[t * rows + r], expected[t * rows + r], 1e-6 * magnitude + 1e-30,
                   Describe(shape, tokens) + ", row " + std::to_string(r) + ", token " +
                       std::to_string(t));
      }
    }
  }

  void Run(const Linear& op, int slices) {
    const int64_t columns = op.weight.shape.columns;
    const Workspace workspace =
        TestWorkspace({.threads = slices, .max_tokens = op.tokens, .max_columns = columns});
    if (LinearPacksInput(op.tokens)) {
      ForSlices(slices, [&](Slice slice) {
        kernels().pack_input(op.in, op.tokens, columns, workspace, slice);
      });
    }
    ForSlices(slices, [&](Slice slice) { kernels().linear(op, workspace, slice, nullptr); });
  }
};

TEST_P(LinearTest, MatchesReferenceForEveryLayout) {
  for (const WeightLayout kind : kAllWeightLayouts) {
    ErrorReport report(Named("linear " + std::string(WeightLayoutName(kind))));
    for (const WeightShape& shape : Shapes(kind)) {
      const RandomWeight weight(shape, 1);
      for (int64_t tokens : {1, 2, 3, 9}) Check(weight, tokens, 2, report);
    }
  }
}

TEST_P(LinearTest, MatchesReferenceForEveryNumberOfTokens) {
  ErrorReport report(Named("linear, tokens 1 to 70"));
  const RandomWeight weight({WeightLayout::kInt5, 33, 96, 32}, 2);
  for (int64_t tokens = 1; tokens <= 70; ++tokens) Check(weight, tokens, 1, report);
}

// 2048 columns are taken at a time: one fewer, as many, one more.
TEST_P(LinearTest, MatchesReferenceAtTheBorderOfAStrip) {
  ErrorReport report(Named("linear, columns 2047 to 4097"));
  for (uint32_t columns : {2047, 2048, 2049, 4097}) {
    const RandomWeight weight({WeightLayout::kBF16, 17, columns, 0}, 3);
    for (int64_t tokens : {1, 5, 33}) Check(weight, tokens, 2, report);
  }
}

// The same bits whatever the number of threads, more threads than rows included.
TEST_P(LinearTest, DoesNotDependOnTheNumberOfThreads) {
  for (int64_t tokens : {1, 6, 40}) {
    const RandomWeight weight({WeightLayout::kQ4_K, 37, 512, 0}, 4);
    const std::vector<float> in = RandomFloats(tokens * 512, 5);
    std::vector<float> alone(tokens * 37);
    Run(Linear{weight.view(), in.data(), tokens, alone.data()}, 1);
    for (int slices : {2, 3, 16}) {
      std::vector<float> together(tokens * 37);
      Run(Linear{weight.view(), in.data(), tokens, together.data()}, slices);
      EXPECT_EQ(alone, together) << tokens << " tokens, " << slices << " slices";
    }
  }
}

// The same bits whichever thread takes which rows.
TEST_P(LinearTest, DoesNotDependOnWhoClaimsWhichRows) {
  const auto pool = ThreadPool::Create(3);
  ASSERT_TRUE(pool.ok());
  for (const int64_t tokens : {1, 7, 40}) {
    const RandomWeight weight({WeightLayout::kInt4, 301, 640, 32}, 7);
    const std::vector<float> in = RandomFloats(tokens * 640, 8);
    std::vector<float> shared(tokens * 301), claimed(tokens * 301);
    Run(Linear{weight.view(), in.data(), tokens, shared.data()}, 1);
    const Workspace workspace =
        TestWorkspace({.threads = 3, .max_tokens = tokens, .max_columns = 640});
    Claims claims;
    (*pool)->Run([&](Slice slice) {
      if (LinearPacksInput(tokens)) kernels().pack_input(in.data(), tokens, 640, workspace, slice);
      (*pool)->Wait();
      kernels().linear({weight.view(), in.data(), tokens, claimed.data()}, workspace, slice,
                       &claims);
    });
    EXPECT_EQ(shared, claimed) << tokens << " tokens";
  }
}

// 512 tokens meet a panel: one more, and the panel is made again.
TEST_P(LinearTest, MatchesReferenceAtTheBorderOfManyTokens) {
  ErrorReport report(Named("linear, 511 to 545 tokens"));
  const RandomWeight weight({WeightLayout::kInt4Min, 3, 64, 64}, 9);
  for (int64_t tokens : {511, 512, 513, 545}) Check(weight, tokens, 1, report);
}

// Panels have 128 rows, fewer where a weight has more limbs.
TEST_P(LinearTest, MatchesReferenceAtTheBorderOfAPanel) {
  ErrorReport report(Named("linear, 31 to 257 rows"));
  for (const WeightLayout layout :
       {WeightLayout::kInt4, WeightLayout::kQ6_K, WeightLayout::kF16, WeightLayout::kF32}) {
    for (uint32_t rows : {31, 32, 63, 65, 127, 128, 129, 257}) {
      const RandomWeight weight({layout, rows, 256, HasGroups(layout) ? 64u : 0u}, rows);
      for (int64_t tokens : {9, 17}) Check(weight, tokens, 1, report);
    }
  }
}

GEMMA_TEST_ALL_ISAS(LinearTest);
INSTANTIATE_TEST_SUITE_P(Model, LinearTest, testing::Values(&TileModelKernels()), IsaTestName);

class EmbedTest : public KernelTest {};

// Values equal the reference's to the last bit.
TEST_P(EmbedTest, IsExact) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    for (const WeightShape& shape : Shapes(layout)) {
      const RandomWeight weight(shape, 6);
      const int64_t last = shape.rows - 1;
      const std::vector<int64_t> ids = {last, 0, last / 2, last};
      std::vector<float> out(ids.size() * shape.columns), expected(out.size());
      const Workspace workspace = TestWorkspace({.threads = 3, .max_columns = shape.columns});
      Embed op{weight.view(), ids.data(), std::ssize(ids), 25.25f, out.data()};
      ForSlices(3, [&](Slice slice) { kernels().embed(op, workspace, slice); });
      op.out = expected.data();
      reference::Compute(op);
      EXPECT_EQ(out, expected) << Describe(shape, std::ssize(ids));
    }
  }
}

GEMMA_TEST_ALL_ISAS(EmbedTest);

}  // namespace
}  // namespace gemma::cpu
