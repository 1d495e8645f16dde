// From the bytes of docs/formats.md to numbers, on the device: single values, and the fragments of
// a 16 x 32 block of weights that the tensor cores multiply.
//
// Fragments hold integers, not weights. The bits of an unsigned q below 1024 are those of the
// subnormal float16 q * kQuantum, which the tensor cores multiply exactly, so a nibble becomes an
// operand by masking alone; columns 16 to 31 of a block stay four bits higher,
// as 16 q, and the input has 16 x in columns 0 to 15.
// Nibbles that stand for levels are looked up: a fragment holds the unsigned bytes of LevelsOf.
// The caller starts its sums at -zero point * sum(x), in the same units,
// and multiplies by the float32 scale of the group afterwards, so a weight is never rounded.
#ifndef CC_KERNELS_CUDA_DEVICE_DECODE_H_
#define CC_KERNELS_CUDA_DEVICE_DECODE_H_

#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/device/matrix.h"

namespace gemma::cuda {

inline constexpr float kQuantum = 1.0f / (1 << 24);  // the smallest float16
// An E4M3's bits, moved into a float16, are that number divided by this.
inline constexpr float kE4m3Unit = 256;

// What the integers of columns 16 to 31 are multiplied with where they stand.
constexpr float HighNibble(WeightLayout l) { return HasNibbles(l) && !HasLevels(l) ? 16 : 1; }

// A float32 weight is the exact sum of three bfloat16.
constexpr int FragmentParts(WeightLayout l) { return l == WeightLayout::kF32 ? 3 : 1; }

// Scale and min of group `g` (0 to 7) of a Q4_K or Q5_K block: the packed 12 bytes hold groups 0-3
// in the low 6 bits of bytes 0-3 and 4-7, groups 4-7 in the halves of bytes 8-11 with their top 2
// bits atop bytes 0-3 and 4-7.
struct SixBitPair {
  int scale;
  int min;
};
GEMMA_DEVICE SixBitPair UnpackSixBits(uint32_t low, uint32_t middle, uint32_t high, int g) {
  const int shift = g % 4 * 8;
  const uint32_t a = low >> shift, b = middle >> shift, c = high >> shift;
  if (g < 4) return {static_cast<int>(a & 63), static_cast<int>(b & 63)};
  return {static_cast<int>((c & 15) | (a >> 2 & 48)),
          static_cast<int>((c >> 4 & 15) | (b >> 2 & 48))};
}

// Scale of group `g` (0 to 7) of an IQ4_XS block, of which `high` has the upper two bits of each
// and `low` the lower four.
GEMMA_DEVICE int UnpackSignedSixBits(uint32_t high, uint32_t low, int g) {
  return static_cast<int>((low >> (4 * g) & 15) | (high >> (2 * g) & 3) << 4) - 32;
}

// Two E4M3 numbers, in the upper halves of 16 bits each, as float16, over kE4m3Unit.
GEMMA_DEVICE uint32_t E4m3ToHalves(uint32_t pair) {
  return (pair & 0x80008000) | (pair >> 1 & 0x3f803f80);
}
GEMMA_DEVICE float E4m3ToFloat(uint8_t code) {
  return kE4m3Unit * HalfLowToFloat(E4m3ToHalves(uint32_t{code} << 8));
}

// Four entries of a table of levels, the first in the lowest byte.
constexpr uint32_t LevelWord(WeightLayout l, int i) {
  const LevelTable table = LevelsOf(TraitsOf(l).levels);
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) word |= uint32_t{table.of[4 * i + j]} << (8 * j);
  return word;
}
// The levels of four nibbles, a byte each. `index`: the nibbles without their highest bits;
// `upper`: 0x3210, and 4 for every nibble whose highest bit is set.
template <WeightLayout kLayout>
GEMMA_DEVICE uint32_t LookUpLevels(uint32_t index, uint32_t upper) {
  constexpr uint32_t kWords[4] = {LevelWord(kLayout, 0), LevelWord(kLayout, 1),
                                  LevelWord(kLayout, 2), LevelWord(kLayout, 3)};
  const uint32_t first = __byte_perm(kWords[0], kWords[1], index);
  const uint32_t second = __byte_perm(kWords[2], kWords[3], index);
  return __byte_perm(first, second, upper);
}
// What LookUpLevels takes, for eight nibbles: the first four lie in the lower halves.
struct LevelIndices {
  uint32_t index;
  uint32_t upper;
};
GEMMA_DEVICE LevelIndices LevelIndicesOf(uint32_t nibbles) {
  return {nibbles & 0x77777777, (nibbles >> 1 & 0x44444444) | 0x32103210};
}

// ---- fragments ----

// Lane l = 4 g + t holds columns 4t to 4t + 3 (first half) and 16 + 4t to 16 + 4t + 3 (second half)
// of rows g and g + 8: a[half][0]: columns 0 and 2 of the four, row g;  a[half][2]: columns 1 and
// 3;  a[half][1], a[half][3]: row g + 8.
using Fragments = uint32_t[2][4];

// One row's part of the fragments, from the nibble word of lane t; `r` is 0 for row g and 1 for row
// g + 8.
GEMMA_DEVICE void SpreadNibbles(uint32_t word, int r, Fragments& a) {
  const uint32_t odd = word >> 8;
  a[0][r] = word & 0x000f000f;
  a[0][r + 2] = odd & 0x000f000f;
  a[1][r] = word & 0x00f000f0;
  a[1][r + 2] = odd & 0x00f000f0;
}

// The same, of the levels that nibbles stand for.
template <WeightLayout kLayout>
GEMMA_DEVICE void SpreadLevels(uint32_t word, int r, Fragments& a) {
  // Bytes 0 and 2, then 1 and 3, so that a lookup gives the even columns of both halves.
  const LevelIndices of = LevelIndicesOf(__byte_perm(word, 0, 0x3120));
  const uint32_t even = LookUpLevels<kLayout>(of.index, of.upper);
  const uint32_t odd = LookUpLevels<kLayout>(of.index >> 16, of.upper >> 16);
  a[0][r] = even & 0x00ff00ff;
  a[0][r + 2] = odd & 0x00ff00ff;
  a[1][r] = __byte_perm(even, 0, 0x4341);
  a[1][r + 2] = __byte_perm(odd, 0, 0x4341);
}

// Adds bit 4 of q. `bits`: the block's word of the bit plane.
GEMMA_DEVICE void SpreadBits(uint32_t bits, int t, int r, Fragments& a) {
  const uint32_t h = bits >> (4 * t);
  a[0][r] |= (h << 4 & 0x10) | (h << 18 & 0x100000);
  a[0][r + 2] |= (h << 3 & 0x10) | (h << 17 & 0x100000);
  a[1][r] |= (h >> 8 & 0x100) | (h << 6 & 0x1000000);
  a[1][r + 2] |= (h >> 9 & 0x100) | (h << 5 & 0x1000000);
}

// Adds bits 4 and 5 of q. `pairs`: word t % 2 of the block's 8 bytes of the pair plane.
GEMMA_DEVICE void SpreadPairs(uint32_t pairs, int t, int r, Fragments& a) {
  const uint32_t v = pairs >> (t / 2 * 2);
  const uint32_t even = v << 4, odd = v >> 4;
  a[0][r] |= even & 0x00300030;
  a[0][r + 2] |= odd & 0x00300030;
  a[1][r] |= even & 0x03000300;
  a[1][r + 2] |= odd & 0x03000300;
}

// Four int8 as floats, exactly.
GEMMA_DEVICE void Int8ToFloat(uint32_t word, float (&f)[4]) {
  const uint32_t u = word ^ 0x80808080;
  for (int i = 0; i < 4; ++i) {
    // 0x4b0000uu is the float 2^23 + uu.
    f[i] = __uint_as_float(__byte_perm(u, 0x4b000000, 0x7440 + i)) - 8388736.0f;
  }
}

GEMMA_DEVICE void SpreadInt8(uint32_t first, uint32_t second, int r, Fragments& a) {
  float f[4];
  Int8ToFloat(first, f);
  a[0][r] = PackHalf(f[0], f[2]);
  a[0][r + 2] = PackHalf(f[1], f[3]);
  Int8ToFloat(second, f);
  a[1][r] = PackHalf(f[0], f[2]);
  a[1][r + 2] = PackHalf(f[1], f[3]);
}

// Four columns of a half-block as floats: word pairs of BF16, F16 or F32 bytes.
template <WeightLayout kLayout>
GEMMA_DEVICE void FourFloats(const std::byte* from, float (&f)[4]) {
  if constexpr (kLayout == WeightLayout::kF32) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    f[0] = v.x, f[1] = v.y, f[2] = v.z, f[3] = v.w;
  } else {
    const uint2 v = *reinterpret_cast<const uint2*>(from);
    const uint32_t words[2] = {v.x, v.y};
    for (int i = 0; i < 4; ++i) {
      const uint16_t bits = static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16));
      f[i] = kLayout == WeightLayout::kF16 ? HalfBitsToFloat(bits)
                                           : __uint_as_float(uint32_t{bits} << 16);
    }
  }
}

// Takes the bfloat16 nearest to each f out of it.
GEMMA_DEVICE void TakeBf16(float (&f)[4], uint32_t& even, uint32_t& odd) {
  even = PackBf16(f[0], f[2]);
  odd = PackBf16(f[1], f[3]);
  f[0] -= Bf16LowToFloat(even), f[2] -= Bf16HighToFloat(even);
  f[1] -= Bf16LowToFloat(odd), f[3] -= Bf16HighToFloat(odd);
}

// Two float16 as sums of bfloat16 pairs, exactly.
struct Bf16Parts {
  uint32_t high;
  uint32_t low;
};
GEMMA_DEVICE Bf16Parts SplitHalf(uint32_t pair) {
  const float x = HalfLowToFloat(pair), y = HalfHighToFloat(pair);
  const uint32_t high = PackBf16(x, y);
  return {high, PackBf16(x - Bf16LowToFloat(high), y - Bf16HighToFloat(high))};
}

// ---- single values ----

template <typename T>
GEMMA_DEVICE T LoadElement(const std::byte* plane, int64_t index) {
  return reinterpret_cast<const T*>(plane)[index];
}

GEMMA_DEVICE int LoadQuantized(const Matrix& m, int64_t row, int column) {
  const int64_t block = (row * m.columns + column) / 32;
  const int j = column % 32;
  const uint8_t byte = LoadElement<uint8_t>(m.values, block * 16 + j % 16);
  int q = j < 16 ? byte & 15 : byte >> 4;
  if (HasBitPlane(m.layout))
    q |= static_cast<int>(LoadElement<uint32_t>(m.extra, block) >> j & 1) << 4;
  if (HasPairPlane(m.layout))
    q |= (LoadElement<uint8_t>(m.extra, block * 8 + j % 8) >> (j / 8 * 2) & 3) << 4;
  if (HasLevels(m.layout)) return LevelsOf(TraitsOf(m.layout).levels).of[q];
  return q;
}

GEMMA_DEVICE float LoadScale(const std::byte* plane, const Matrix& m, int64_t row, int column) {
  if (m.float_scales) return LoadElement<float>(plane, row);
  return HalfBitsToFloat(
      LoadElement<uint16_t>(plane, row * (m.columns / m.group) + column / m.group));
}

GEMMA_DEVICE float LoadPackedValue(const Matrix& m, int64_t row, int column) {
  const int64_t block = row * (m.columns / 256) + column / 256;
  const float d = HalfBitsToFloat(LoadElement<uint16_t>(m.blocks, 2 * block));
  const float dmin = HalfBitsToFloat(LoadElement<uint16_t>(m.blocks, 2 * block + 1));
  const SixBitPair pair = UnpackSixBits(
      LoadElement<uint32_t>(m.scales, 3 * block), LoadElement<uint32_t>(m.scales, 3 * block + 1),
      LoadElement<uint32_t>(m.scales, 3 * block + 2), column % 256 / 32);
  const float scaled =
      (d * static_cast<float>(pair.scale)) * static_cast<float>(LoadQuantized(m, row, column));
  const float min = dmin * static_cast<float>(pair.min);
#ifdef GEMMA_CUDA_EMULATION
  return scaled - min;
#else
  return __fsub_rn(
      scaled, min);  // not contracted into a fused multiply-add: the same bits as the reference
#endif
}

GEMMA_DEVICE float LoadFloat(const Matrix& m, int64_t index) {
  switch (m.layout) {
    case WeightLayout::kF32:
      return LoadElement<float>(m.values, index);
    case WeightLayout::kF16:
      return HalfBitsToFloat(LoadElement<uint16_t>(m.values, index));
    default:
      return __uint_as_float(uint32_t{LoadElement<uint16_t>(m.values, index)} << 16);
  }
}

GEMMA_DEVICE float LoadGroupedValue(const Matrix& m, int64_t row, int column) {
  const float scale = LoadScale(m.scales, m, row, column);
  if (!HasNibbles(m.layout)) {
    const int8_t q = LoadElement<int8_t>(m.values, row * m.columns + column);
    return scale * static_cast<float>(q);
  }
  const float scaled =
      scale * static_cast<float>(LoadQuantized(m, row, column) - ZeroPoint(m.layout));
  if (!HasMins(m.layout)) return scaled;
  const float min = LoadScale(m.mins, m, row, column);
#ifdef GEMMA_CUDA_EMULATION
  return scaled + min;
#else
  return __fadd_rn(scaled, min);
#endif
}

// The scale of a column whose scale is a product. `index`: of the column in the matrix
GEMMA_DEVICE float LoadScaleProduct(const Matrix& m, int64_t row, int64_t index) {
  switch (TraitsOf(m.layout).scales) {
    case Scales::kSigned6: {
      const uint32_t first = LoadElement<uint32_t>(m.scales, index / 256 * 2);
      const uint32_t low = LoadElement<uint32_t>(m.scales, index / 256 * 2 + 1);
      return HalfLowToFloat(first) *
             static_cast<float>(UnpackSignedSixBits(first >> 16, low, index % 256 / 32));
    }
    case Scales::kE4m3:
      return LoadElement<float>(m.blocks, row) *
             E4m3ToFloat(LoadElement<uint8_t>(m.scales, index / 16));
    default:
      return HalfBitsToFloat(LoadElement<uint16_t>(m.blocks, index / 256)) *
             static_cast<float>(LoadElement<int8_t>(m.scales, index / 16));
  }
}

// The weight at [row, column], to the last bit what docs/formats.md defines.
GEMMA_DEVICE float LoadValue(const Matrix& m, int64_t row, int column) {
  const int64_t index = row * m.columns + column;
  switch (TraitsOf(m.layout).scales) {
    case Scales::kNone:
      return LoadFloat(m, index);
    case Scales::kGroups:
      return LoadGroupedValue(m, row, column);
    case Scales::kPacked:
      return LoadPackedValue(m, row, column);
    case Scales::kInt8:
    case Scales::kSigned6:
    case Scales::kE4m3:
      break;
  }
  return LoadScaleProduct(m, row, index) *
         static_cast<float>(LoadQuantized(m, row, column) - ZeroPoint(m.layout));
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_DECODE_H_
