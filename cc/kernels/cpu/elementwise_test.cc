#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cc/kernels/cpu/testing/kernel_test.h"
#include "cc/kernels/reference.h"
#include "cc/kernels/testing/error_report.h"
#include "cc/kernels/testing/random_weight.h"

namespace gemma::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ElementwiseTest : public KernelTest {};

// Every 4099th float32 of either sign: all exponents, and mantissas of every kind.
std::vector<float> FloatsOfAllSizes() {
  std::vector<float> values;
  for (uint64_t bits = 0; bits < 0x7f800000; bits += 4099) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    values.push_back(-values.back());
  }
  return values;
}

TEST_P(ElementwiseTest, SoftcapMatchesReferenceOnFloatsOfAllSizes) {
  ErrorReport report(Named("softcap, relative"));
  const std::vector<float> in = FloatsOfAllSizes();
  std::vector<float> out(in.size()), expected(in.size());
  Softcap op{in.data(), std::ssize(in), 30, out.data()};
  ForSlices(2, [&](Slice slice) { kernels().softcap(op, slice); });
  op.out = expected.data();
  reference::Compute(op);
  for (size_t i = 0; i < in.size() && !HasFailure(); ++i) {
    const double magnitude = std::max(std::abs(expected[i]), 1e-36f);
    report.Add(out[i] / magnitude, expected[i] / magnitude, 4e-7, std::to_string(in[i]));
  }
}

TEST_P(ElementwiseTest, GeluMatchesReferenceOnFloatsOfAllSizes) {
  ErrorReport relative(Named("gelu, relative for gate > -5"));
  ErrorReport absolute(Named("gelu, absolute for gate <= -5"));
  const std::vector<float> in = FloatsOfAllSizes(), ones(in.size(), 1);
  std::vector<float> out(in.size()), expected(in.size());
  GatedGelu op{in.data(), ones.data(), std::ssize(in), out.data()};
  ForSlices(2, [&](Slice slice) { kernels().gated_gelu(op, slice); });
  op.out = expected.data();
  reference::Compute(op);
  for (size_t i = 0; i < in.size() && !HasFailure(); ++i) {
    if (in[i] <= -5) {
      absolute.Add(out[i], expected[i], 1e-9, std::to_string(in[i]));
    } else {
      const double magnitude = std::max(std::abs(expected[i]), 1e-36f);
      relative.Add(out[i] / magnitude, expected[i] / magnitude, 3e-6, std::to_string(in[i]));
    }
  }
}

TEST_P(ElementwiseTest, NanAndInfinityPass) {
  const std::vector<float> in = {std::nanf(""), kInfinity, -kInfinity}, ones(3, 1);
  std::vector<float> out(3);
  kernels().softcap({in.data(), 3, 30, out.data()}, {});
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_EQ(out[1], 30);
  EXPECT_EQ(out[2], -30);
  kernels().gated_gelu({in.data(), ones.data(), 2, out.data()}, {});
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_EQ(out[1], kInfinity);
}

// Every size up to a few vectors, in place, and not one element past the end.
TEST_P(ElementwiseTest, OddSizesInPlaceMatchReference) {
  ErrorReport report(Named("add and gated gelu, sizes 1 to 70"));
  for (int64_t size = 1; size <= 70; ++size) {
    const std::vector<float> a = RandomFloats(size, 1), b = RandomFloats(size, 2);
    std::vector<float> sum = a, gated = b, expected(size);
    sum.push_back(77);
    gated.push_back(78);
    ForSlices(3,
              [&](Slice slice) { kernels().add({sum.data(), b.data(), size, sum.data()}, slice); });
    ForSlices(3, [&](Slice slice) {
      kernels().gated_gelu({a.data(), gated.data(), size, gated.data()}, slice);
    });
    EXPECT_EQ(sum.back(), 77);
    EXPECT_EQ(gated.back(), 78);
    reference::Compute(Add{a.data(), b.data(), size, expected.data()});
    report.AddAll(std::span(sum).first(size), expected, 1e-9, "add " + std::to_string(size));
    reference::Compute(GatedGelu{a.data(), b.data(), size, expected.data()});
    report.AddAll(std::span(gated).first(size), expected, 1e-6, "gelu " + std::to_string(size));
  }
}

struct NormCase {
  int64_t tokens, columns, width;
  bool weight, add;
};

TEST_P(ElementwiseTest, RmsNormMatchesReference) {
  ErrorReport report(Named("rms norm"));
  for (const NormCase& c : std::vector<NormCase>{{1, 640, 640, true, false},
                                                 {3, 5376, 5376, true, true},
                                                 {9, 33, 33, true, true},
                                                 {5, 96, 32, false, false},
                                                 {2, 1024, 256, true, false},
                                                 {1, 1, 1, false, true}}) {
    const int64_t size = c.tokens * c.columns;
    const std::vector<float> in = RandomFloats(size, 3), weight = RandomFloats(c.width, 4),
                             add = RandomFloats(size, 5);
    std::vector<float> out = in, expected(size);  // in place
    RmsNorm op{.in = out.data(),
               .weight = c.weight ? weight.data() : nullptr,
               .add = c.add ? add.data() : nullptr,
               .tokens = c.tokens,
               .columns = c.columns,
               .width = c.width,
               .epsilon = 1e-6f,
               .scalar = 0.625f,
               .out = out.data()};
    ForSlices(2, [&](Slice slice) { kernels().rms_norm(op, slice); });
    op.in = in.data();
    op.out = expected.data();
    reference::Compute(op);
    report.AddAll(out, expected, 1e-6,
                  std::to_string(c.tokens) + " x " + std::to_string(c.columns));
  }
}

// Epsilon matters where the input is small, and a row of zeros stays zeros.
TEST_P(ElementwiseTest, RmsNormAddsEpsilonUnderTheRoot) {
  const std::vector<float> in = {3e-3f, -3e-3f, 0, 0};
  std::vector<float> out(4);
  kernels().rms_norm(
      {.in = in.data(), .tokens = 2, .columns = 2, .width = 2, .epsilon = 1e-6f, .out = out.data()},
      {});
  EXPECT_NEAR(out[0], 3e-3 / std::sqrt(9e-6 + 1e-6), 1e-6);
  EXPECT_EQ(out[2], 0);
}

GEMMA_TEST_ALL_ISAS(ElementwiseTest);

}  // namespace
}  // namespace gemma::cpu
