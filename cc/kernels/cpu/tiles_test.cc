// The model of the tile registers, by numbers worked out by hand and against the registers
// themselves where this machine has them.
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cc/kernels/cpu/isa.h"
#include "gtest/gtest.h"

namespace gemma::cpu {

namespace tile_model {
#include "cc/kernels/cpu/tiles_model.inc.h"
}  // namespace tile_model

#ifdef GEMMA_X86_KERNELS
namespace tile_registers {
#include "cc/kernels/cpu/tiles_amx.inc.h"
}  // namespace tile_registers
#endif

namespace {

uint16_t Bfloat16(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}

// What a tile of sums is added to, and from what: rows of A [16][32], of B [16][16][2].
struct Operands {
  uint16_t a[16][32] = {};
  uint16_t b[16][32] = {};
  float sums[16][16] = {};

  // Column k of A's row 0, and of B's column 0.
  void SetTerm(int k, float left, float right) {
    a[0][k] = Bfloat16(left);
    b[k / 2][k % 2] = Bfloat16(right);
  }
};

// The first `columns` of A, in every register that the kernels use.
template <typename Tiles>
std::vector<float> Multiply(const Operands& x, int columns) {
  Tiles tiles(columns);
  tiles.template Load<0>(x.sums, 64);
  tiles.template Load<2>(x.sums, 64);
  tiles.template Zero<1>();
  tiles.template Load<3>(x.a, 64);
  tiles.template Load<4>(x.a[0] + 32 - columns, 64);  // the last ones
  tiles.template Load<5>(x.b, 64);
  tiles.template Load<6>(x.b, 64);
  tiles.template Load<7>(x.b[16 - columns / 2], 64);
  tiles.template MultiplyAdd<0, 3, 5>();
  tiles.template MultiplyAdd<1, 3, 6>();
  tiles.template MultiplyAdd<2, 4, 7>();
  std::vector<float> out(3 * 256);
  tiles.template Store<0>(out.data(), 64);
  tiles.template Store<1>(out.data() + 256, 64);
  tiles.template Store<2>(out.data() + 512, 64);
  return out;
}

float First(const Operands& x, int columns = 32) {
  return Multiply<tile_model::Tiles>(x, columns)[0];
}

TEST(TileModelTest, MultipliesEveryElement) {
  Operands x;
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 32; ++k) {
      x.a[i][k] = Bfloat16(static_cast<float>(i + k));
      x.b[k / 2][2 * i + k % 2] = Bfloat16(static_cast<float>(i - k));
      if (k < 16) x.sums[i][k] = static_cast<float>(1000 * i + k);
    }
  }
  const std::vector<float> out = Multiply<tile_model::Tiles>(x, 32);
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 16; ++n) {
      int expected = 1000 * m + n;
      for (int k = 0; k < 32; ++k) expected += (m + k) * (n - k);
      EXPECT_EQ(out[m * 16 + n], expected) << m << ", " << n;
    }
  }
}

TEST(TileModelTest, SumsEvenAndOddColumnsApart) {
  Operands x;
  x.SetTerm(0, 1, 0x1p24f);
  x.SetTerm(1, 1, 1);
  x.SetTerm(2, 1, -0x1p24f);
  x.SetTerm(3, 1, 1);
  EXPECT_EQ(First(x), 2);  // in one chain the first 1 would be rounded away
  x.SetTerm(2, 1, 1);
  x.SetTerm(4, 1, -0x1p24f);
  EXPECT_EQ(First(x), 2);  // 2^24 + 1 is 2^24
}

TEST(TileModelTest, RoundsToNearestWithTiesToEven) {
  Operands x;
  x.SetTerm(0, 1, 0x1p24f);
  x.SetTerm(2, 1, 3);
  EXPECT_EQ(First(x), 0x1p24f + 4);  // 2^24 + 3 lies between + 2 and + 4
  x.sums[0][0] = 1;
  EXPECT_EQ(First(x), 0x1p24f + 4);  // + 5 lies between + 4 and + 6
}

TEST(TileModelTest, TakesNumbersBelowTheNormalOnesForZeros) {
  Operands x;
  x.SetTerm(0, 0x1p-127f, 0x1p100f);  // an operand
  x.SetTerm(1, 0x1p-70f, 0x1p-70f);   // a product
  EXPECT_EQ(First(x), 0);
  x.SetTerm(0, 1, 0x1.8p-126f);
  x.SetTerm(2, -1, 0x1p-126f);  // a sum
  EXPECT_EQ(First(x), 0);
  x.sums[0][0] = 0x1p-127f;  // what was there
  EXPECT_EQ(First(x), 0);
}

TEST(TileModelTest, LeavesOutColumnsBeyondThoseOfA) {
  Operands x;
  x.SetTerm(15, 2, 3);
  x.SetTerm(16, 5, 7);
  EXPECT_EQ(First(x, 16), 6);
  EXPECT_EQ(First(x, 32), 41);
}

#ifdef GEMMA_X86_KERNELS

uint32_t Bits(float value) { return std::bit_cast<uint32_t>(value); }

// Operands of every size, denormal ones too, and of sizes that cancel.
Operands RandomOperands(std::mt19937& random, int exponents) {
  Operands x;
  const auto number = [&] {
    const uint32_t exponent = static_cast<uint32_t>(127 - exponents / 2 + random() % exponents);
    const uint32_t rest = static_cast<uint32_t>(random()) & 0x807fffffu;
    return std::bit_cast<float>(rest | exponent << 23);
  };
  for (auto& row : x.a)
    for (uint16_t& a : row) a = Bfloat16(number());
  for (auto& row : x.b)
    for (uint16_t& b : row) b = Bfloat16(number());
  for (auto& row : x.sums)
    for (float& sum : row) sum = number();
  return x;
}

TEST(TileModelTest, IsWhatTheRegistersDo) {
  if (BestKernels().isa != Isa::kAmx) GTEST_SKIP() << "this machine has no AMX";
  std::mt19937 random(1);
  for (int exponents : {2, 8, 30, 120, 250}) {
    for (int columns : {16, 32}) {
      for (int i = 0; i < 50; ++i) {
        const Operands x = RandomOperands(random, exponents);
        const std::vector<float> model = Multiply<tile_model::Tiles>(x, columns);
        const std::vector<float> registers = Multiply<tile_registers::Tiles>(x, columns);
        for (size_t j = 0; j < model.size(); ++j) {
          if (std::isnan(model[j]) && std::isnan(registers[j])) continue;
          ASSERT_EQ(Bits(model[j]), Bits(registers[j]))
              << exponents << " exponents, " << columns << " columns, sum " << j << ": " << model[j]
              << " and " << registers[j];
        }
      }
    }
  }
}

#endif

}  // namespace
}  // namespace gemma::cpu
