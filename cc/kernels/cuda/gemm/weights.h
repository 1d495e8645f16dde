// Weights of the GEMM kernels: from the planes in device memory to a stage in shared memory, and from
// there to float16 fragments in registers, times kWeightScale and rounded once. kRows: of a tile.
//
// Lane 4 g + t of a warp holds, of 16 columns, columns 2t, 2t + 1, 2t + 8 and 2t + 9 of rows g and
// g + 8: a[0]: the first pair, row g; a[1]: row g + 8; a[2], a[3]: the second pair.
#ifndef CC_KERNELS_CUDA_GEMM_WEIGHTS_H_
#define CC_KERNELS_CUDA_GEMM_WEIGHTS_H_

#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/gemm/params.h"

namespace gemma::cuda {

// The same float16 in both halves, for numbers that float16 holds.
constexpr uint32_t HalfPairOf(int value) {
  uint32_t magnitude = static_cast<uint32_t>(value < 0 ? -value : value), exponent = 25;
  if (magnitude == 0) return 0;
  while (magnitude < 1024) magnitude *= 2, --exponent;
  const uint32_t bits = (value < 0 ? 0x8000u : 0u) | exponent << 10 | (magnitude & 1023);
  return bits << 16 | bits;
}
inline constexpr uint32_t kHalfPairOfSixteenth = 0x2c002c00;

// ---- to shared memory ----

// The rows of a tile: block j of 64 rows comes from `second` where j is odd and the product gated.
struct TileRows {
  const GemmPart* part;
  bool gated;
  int first_row;

  GEMMA_DEVICE const Matrix& MatrixOf(int r) const {
    return gated && (r / 64 & 1) != 0 ? part->second : part->first;
  }
  GEMMA_DEVICE int RowOf(int r) const { return first_row + (gated ? r / 128 * 64 + r % 64 : r); }
};

// Copies `count` bytes from a plane that has `row_bytes` a row, from byte `begin` of the row on, in
// pieces of kPiece; what lies outside becomes zeros.
template <int kPiece>
GEMMA_DEVICE void CopyRowBytes(std::byte* to, const std::byte* plane, int64_t row_bytes, int row,
                               int rows, int begin, int count) {
  const bool row_inside = row < rows;
  const std::byte* from = plane + (row_inside ? row : 0) * row_bytes;
  for (int i = 0; i < count; i += kPiece) {
    const bool inside = row_inside && begin + i < row_bytes;
    CopyAsync<kPiece>(to + i, inside ? from + begin + i : plane, inside ? kPiece : 0);
  }
}

// As above, in the largest pieces that the alignment of the rows allows (4 bytes at least).
GEMMA_DEVICE void CopyScales(std::byte* to, const std::byte* plane, int64_t row_bytes, int row,
                             int rows, int begin, int count) {
  const int alignment = static_cast<int>(row_bytes) | count;
  if (alignment % 16 == 0) return CopyRowBytes<16>(to, plane, row_bytes, row, rows, begin, count);
  if (alignment % 8 == 0) return CopyRowBytes<8>(to, plane, row_bytes, row, rows, begin, count);
  CopyRowBytes<4>(to, plane, row_bytes, row, rows, begin, count);
}

// A tile's values of one unit; `warps` warps share them out, 8 lanes to a row.
template <WeightLayout kLayout, int kRows>
GEMMA_DEVICE void CopyValues(const TileRows& tile, int unit, std::byte* stage, int warp,
                             int warps) {
  const int piece = Lane() % 8 * 16;
  for (int four = warp; four < kRows / 4; four += warps) {
    const int r = four * 4 + Lane() / 8;
    const Matrix& m = tile.MatrixOf(r);
    const int64_t row_bytes = int64_t{m.columns} / 32 * ValueBytes(kLayout) +
                              int64_t{m.columns} % 32 * ValueBytes(kLayout) / 32;
    CopyRowBytes<16>(stage + r * kValueRow + piece, m.values, row_bytes, tile.RowOf(r), m.rows,
                     unit * kValuePiece + piece, 16);
  }
}

// All else that belongs to the values; a lane takes a row.
template <WeightLayout kLayout, int kRows>
GEMMA_DEVICE void CopyScalesOfRow(const TileRows& tile, int unit, std::byte* stage, int r) {
  constexpr GemmStage kStage = GemmStageOf(kLayout, kRows);
  const Matrix& m = tile.MatrixOf(r);
  const int row = tile.RowOf(r);
  std::byte* const scales = stage + kStage.scales + r * 16;
  if constexpr (HasBitPlane(kLayout)) {
    CopyScales(stage + kStage.extra + r * kStage.extra_row, m.extra, m.columns / 8, row, m.rows,
               unit * 32, 32);
  }
  if constexpr (HasPackedScales(kLayout)) {
    const int64_t blocks = m.columns / 256;
    CopyRowBytes<4>(scales, m.scales, blocks * 12, row, m.rows, unit * 12, 12);
    CopyRowBytes<4>(scales + 12, m.blocks, blocks * 4, row, m.rows, unit * 4, 4);
  } else if constexpr (HasSignedScales(kLayout)) {
    CopyRowBytes<8>(scales, m.scales, m.columns / 256 * 8, row, m.rows, unit * 8, 8);
  } else if constexpr (HasRowScales(kLayout)) {
    CopyScales(scales, m.scales, m.columns / 16, row, m.rows, unit * 16, 16);
  } else if constexpr (HasInt8Scales(kLayout)) {
    CopyRowBytes<16>(scales, m.scales, m.columns / 16, row, m.rows, unit * 16, 16);
    CopyRowBytes<16>(stage + kStage.extra + r * kStage.extra_row, m.extra, m.columns / 4, row,
                     m.rows, unit * 64, 64);
    // The 4 bytes that hold the block's float16; DecodeFactors takes its half of them.
    const int64_t block = (row < m.rows ? row : 0) * int64_t{m.columns / 256} + unit;
    CopyAsync<4>(stage + kStage.blocks + r * 4, m.blocks + block / 2 * 4);
  } else if (!m.float_scales) {
    const int begin = unit * kStage.columns / m.group * 2, row_bytes = m.columns / m.group * 2;
    const int bytes = kStage.columns / m.group * 2, count = bytes < 4 ? 4 : bytes;
    CopyScales(scales, m.scales, row_bytes, row, m.rows, begin / 4 * 4, count);
    if constexpr (HasMins(kLayout)) {
      CopyScales(stage + kStage.mins + r * 16, m.mins, row_bytes, row, m.rows, begin / 4 * 4,
                 count);
    }
  }
}

// Scales and what else a row has, by one warp.
template <WeightLayout kLayout, int kRows>
GEMMA_DEVICE void CopyAllScales(const TileRows& tile, int unit, std::byte* stage) {
  if constexpr (!IsFloat(kLayout)) {
    for (int r = Lane(); r < kRows; r += kWarp)
      CopyScalesOfRow<kLayout, kRows>(tile, unit, stage, r);
  }
}

// True when nothing of the tile lies outside of the matrices, in rows or in units.
template <WeightLayout kLayout, int kRows>
GEMMA_DEVICE bool IsWhole(const TileRows& tile) {
  const Matrix& m = tile.part->first;
  const int rows = tile.gated ? kRows / 2 : kRows;
  if (tile.first_row + rows > m.rows || m.columns % GemmStageOf(kLayout, kRows).columns != 0)
    return false;
  if constexpr (!HasGroups(kLayout)) return true;
  return m.float_scales || (m.group == 32 && m.columns % 256 == 0);
}

// Bytes of a row's scales and of what else belongs to a unit of 256 columns (128 of INT8) of tiles
// that are whole: mins, or kPacked's d and dmin.
template <WeightLayout kLayout>
struct WholeBytes {
  static constexpr bool kEight = HasSignedScales(kLayout) || kLayout == WeightLayout::kInt8;
  static constexpr int kScales = HasPackedScales(kLayout) ? 12 : kEight ? 8 : 16;
  static constexpr int kExtra = HasBitPlane(kLayout) ? 32 : HasPairPlane(kLayout) ? 64 : 0;
  static constexpr int kOthers = HasPackedScales(kLayout) ? 4 : HasMins(kLayout) ? kScales : 0;
};
struct WholeRow {
  const std::byte* scales;
  const std::byte* extra;
  const std::byte* others;  // of kInt8 the 4 bytes that hold the block's float16
};

// As CopyScalesOfRow, of a whole tile.
template <WeightLayout kLayout, int kRows>
GEMMA_DEVICE void CopyWholeScales(const WholeRow& from, int row, std::byte* stage) {
  using Bytes = WholeBytes<kLayout>;
  constexpr GemmStage kStage = GemmStageOf(kLayout, kRows);
  std::byte* const scales = stage + kStage.scales + row * 16;
  if constexpr (HasPackedScales(kLayout)) {
#pragma unroll
    for (int k = 0; k < 3; ++k) CopyAsync<4>(scales + 4 * k, from.scales + 4 * k);
    CopyAsync<4>(scales + 12, from.others);
  } else {
    CopyAsync<Bytes::kScales>(scales, from.scales);
  }
  if constexpr (HasMins(kLayout) && !HasPackedScales(kLayout))
    CopyAsync<Bytes::kScales>(stage + kStage.mins + row * 16, from.others);
  if constexpr (HasInt8Scales(kLayout)) CopyAsync<4>(stage + kStage.blocks + row * 4, from.others);
#pragma unroll
  for (int k = 0; k < Bytes::kExtra; k += 16)
    CopyAsync<16>(stage + kStage.extra + row * kStage.extra_row + k, from.extra + k);
}

// ---- from shared memory ----

// Factors of one row of block scales as pairs of float32, times kWeightScale. kPacked: scale and
// -min of each 32 columns; kSigned6: the scale of each 32 columns, and 0; kInt8: the scales of each
// 16 columns, two and two.
template <WeightLayout kLayout, int kRows>
GEMMA_DEVICE void DecodeFactors(const std::byte* stage, int r, bool odd_block, float2* factors) {
  constexpr GemmStage kStage = GemmStageOf(kLayout, kRows);
  const uint4 words = *reinterpret_cast<const uint4*>(stage + kStage.scales + r * 16);
  if constexpr (HasPackedScales(kLayout)) {
    const float d = kWeightScale * HalfLowToFloat(words.w),
                dmin = -kWeightScale * HalfHighToFloat(words.w);
#pragma unroll
    for (int g = 0; g < 8; ++g) {
      const SixBitPair pair = UnpackSixBits(words.x, words.y, words.z, g);
      factors[g] =
          make_float2(d * static_cast<float>(pair.scale), dmin * static_cast<float>(pair.min));
    }
  } else if constexpr (HasSignedScales(kLayout)) {
    const float d = kWeightScale * HalfLowToFloat(words.x);
#pragma unroll
    for (int g = 0; g < 8; ++g) {
      const int scale = UnpackSignedSixBits(words.x >> 16, words.y, g);
      factors[g] = make_float2(d * static_cast<float>(scale), 0);
    }
  } else {
    const uint32_t word = *reinterpret_cast<const uint32_t*>(stage + kStage.blocks + r * 4);
    const float d = kWeightScale * (odd_block ? HalfHighToFloat(word) : HalfLowToFloat(word));
    const uint32_t all[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float f[4];
      Int8ToFloat(all[i], f);
      factors[2 * i] = make_float2(d * f[0], d * f[1]);
      factors[2 * i + 1] = make_float2(d * f[2], d * f[3]);
    }
  }
}

// What a lane takes of 32 columns of rows g and g + 8 from shared memory.
template <WeightLayout kLayout>
struct RawWeights {
  static constexpr int kWords = HasNibbles(kLayout) ? 2 : 4;
  uint32_t values[2][kWords];
  uint32_t extra[2];
  uint32_t scale[2];  // of two steps
  uint32_t min[2];
  float2 factors[2];
};

GEMMA_DEVICE uint32_t LoadShort(const std::byte* from) {
  return *reinterpret_cast<const uint16_t*>(from);
}

// Where the scales of a unit's steps lie in the 16 bytes of a row. Two steps share a word, which
// even ones load.
struct ScalePlaces {
  bool absent;  // one scale a row, which multiplies the sums
  int shift;    // columns of a group: 2^shift
  int begin;    // copies begin at multiples of 4

  GEMMA_DEVICE static ScalePlaces Of(const Matrix& m, int unit, int columns) {
    const bool absent = m.group == 0 || m.float_scales;
    const int shift = absent ? 0 : 31 - __clz(m.group);
    return {absent, shift, absent ? 0 : (unit * columns >> shift) * 2 % 4};
  }

  GEMMA_DEVICE int At(int step) const { return begin + (step * 32 >> shift) * 2; }
  // Selects the step's half of the word, twice.
  GEMMA_DEVICE uint32_t Selector(int step) const { return (At(step) & 2) != 0 ? 0x3232 : 0x1010; }
};

// `step`: which 32 columns of the stage; `r`: the row of the tile; i: 0 for row g, 1 for g + 8
template <WeightLayout kLayout, int kRows>
GEMMA_DEVICE void LoadRow(const std::byte* stage, const float2* factors, const ScalePlaces& places,
                          int step, int r, int i, RawWeights<kLayout>& raw) {
  constexpr GemmStage kStage = GemmStageOf(kLayout, kRows);
  const int t = Lane() % 4;
  const std::byte* const values = stage + r * kValueRow + step * ValueBytes(kLayout);
  if constexpr (IsFloat(kLayout)) {
#pragma unroll
    for (int k = 0; k < 4; ++k)
      raw.values[i][k] = *reinterpret_cast<const uint32_t*>(values + 16 * k + 4 * t);
    return;
  }
#pragma unroll
  for (int k = 0; k < RawWeights<kLayout>::kWords; ++k)
    raw.values[i][k] = LoadShort(values + 8 * k + 2 * t);
  const std::byte* const extra = stage + kStage.extra + r * kStage.extra_row;
  if constexpr (HasBitPlane(kLayout))
    raw.extra[i] = *reinterpret_cast<const uint32_t*>(extra + step * 4);
  if constexpr (HasPairPlane(kLayout)) raw.extra[i] = LoadShort(extra + step * 8 + 2 * t);
  if constexpr (HasBlocks(kLayout)) {
    raw.factors[i] = factors[r * (kFactorRow / 8) + step];
  } else if constexpr (HasRowScales(kLayout)) {
    raw.scale[i] = LoadShort(stage + kStage.scales + r * 16 + step * 2);
  } else {
    if (step % 2 != 0 || places.absent) return;
    const int at = r * 16 + (places.At(step) & ~3);
    raw.scale[i] = *reinterpret_cast<const uint32_t*>(stage + kStage.scales + at);
    if constexpr (HasMins(kLayout))
      raw.min[i] = *reinterpret_cast<const uint32_t*>(stage + kStage.mins + at);
  }
}

// (word & mask) | magic in one instruction, which takes one constant only:
// the magic word has to be a register.
template <uint32_t kMask>
GEMMA_DEVICE uint32_t MaskOr(uint32_t word, uint32_t magic) {
#ifdef GEMMA_CUDA_EMULATION
  return (word & kMask) | magic;
#else
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(word), "n"(kMask), "r"(magic));
  return result;
#endif
}

// Two bytes, as the low bytes of two halves.
GEMMA_DEVICE uint32_t SpreadBytes(uint32_t pair) { return __byte_perm(pair, 0, 0x4140); }

// q of 32 columns of a row as float16 pairs less the layout's middle: q[0], q[1]: columns 2t, 2t +
// 1 and 2t + 8, 2t + 9; q[2], q[3]: the same of the other 16.
template <WeightLayout kLayout>
GEMMA_DEVICE void QuantizedRow(const RawWeights<kLayout>& raw, int i, uint32_t (&q)[4]) {
  constexpr uint32_t kMagic = 0x64006400;  // pairs of 1024; the low bits count from there
  if constexpr (kLayout == WeightLayout::kInt8) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const uint32_t biased = __byte_perm(raw.values[i][k] ^ 0x8080, kMagic, 0x5150);
      q[k] = AddHalf(biased, HalfPairOf(-(1024 + 128)));
    }
  } else if constexpr (HasLevels(kLayout)) {
    constexpr uint32_t kMiddle = HalfPairOf(-(1024 + ZeroPoint(kLayout)));
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const LevelIndices of = LevelIndicesOf(raw.values[i][k]);
      const uint32_t levels = LookUpLevels<kLayout>(of.index, of.upper);
      q[k] = AddHalf(__byte_perm(levels, kMagic, 0x5250), kMiddle);
      q[2 + k] = AddHalf(__byte_perm(levels, kMagic, 0x5351), kMiddle);
    }
  } else {
    constexpr int kMiddle = ZeroPoint(kLayout);
    const uint32_t a = SpreadBytes(raw.values[i][0]), b = SpreadBytes(raw.values[i][1]);
    uint32_t low[2] = {MaskOr<0x000f000f>(a, kMagic), MaskOr<0x000f000f>(b, kMagic)};
    uint32_t high[2] = {MaskOr<0x00f000f0>(a, kMagic), MaskOr<0x00f000f0>(b, kMagic)};
    if constexpr (HasBitPlane(kLayout)) {
      const uint32_t h = raw.extra[i] >> (2 * (Lane() % 4));
      low[0] |= (h << 4 & 0x10) | (h << 19 & 0x100000);
      low[1] |= (h >> 4 & 0x10) | (h << 11 & 0x100000);
      high[0] |= (h >> 8 & 0x100) | (h << 7 & 0x1000000);
      high[1] |= (h >> 16 & 0x100) | (h >> 1 & 0x1000000);
    } else if constexpr (HasPairPlane(kLayout)) {
      const uint32_t y = SpreadBytes(raw.extra[i]);
      low[0] = MaskOr<0x00300030>(y << 4, low[0]);
      low[1] = MaskOr<0x00300030>(y << 2, low[1]);
      high[0] = MaskOr<0x03000300>(y << 4, high[0]);
      high[1] = MaskOr<0x03000300>(y << 2, high[1]);
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      q[k] = AddHalf(low[k], HalfPairOf(-(1024 + kMiddle)));
      // 1024 + 16 q, over 16
      q[2 + k] = MultiplyAddHalf(high[k], kHalfPairOfSixteenth, HalfPairOf(-(64 + kMiddle)));
    }
  }
}

GEMMA_DEVICE uint32_t ScaleFloat(uint32_t q, float scale, float offset) {
  return PackHalf(HalfLowToFloat(q) * scale + offset, HalfHighToFloat(q) * scale + offset);
}

// The fragments of both 16 columns.
template <WeightLayout kLayout>
GEMMA_DEVICE void DecodeFragments(const RawWeights<kLayout>& raw, const ScalePlaces& places,
                                  int step, uint32_t (&a)[8]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    uint32_t w[4];
    if constexpr (kLayout == WeightLayout::kF16) {
#pragma unroll
      for (int k = 0; k < 4; ++k)
        w[k] = MultiplyHalf(raw.values[i][k], HalfPairOf(static_cast<int>(kWeightScale)));
    } else if constexpr (kLayout == WeightLayout::kBF16) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        w[k] = PackHalf(kWeightScale * Bf16LowToFloat(raw.values[i][k]),
                        kWeightScale * Bf16HighToFloat(raw.values[i][k]));
      }
    } else {
      uint32_t q[4];
      QuantizedRow<kLayout>(raw, i, q);
      if constexpr (HasBlocks(kLayout)) {
        const float2 f = raw.factors[i];
        constexpr bool kTwoScales = HasHalfScales(kLayout);
#pragma unroll
        for (int k = 0; k < 4; ++k)
          w[k] = ScaleFloat(q[k], kTwoScales && k >= 2 ? f.y : f.x, kTwoScales ? 0 : f.y);
      } else if constexpr (HasRowScales(kLayout)) {
        // Levels times E4M3 numbers fit float16 exactly. The row's scale multiplies the sums.
        const uint32_t pair = E4m3ToHalves(__byte_perm(raw.scale[i], 0, 0x1404));
#pragma unroll
        for (int k = 0; k < 4; ++k)
          w[k] = MultiplyHalf(q[k], __byte_perm(pair, 0, k < 2 ? 0x1010 : 0x3232));
      } else {
        // Without scales of groups the row's scale multiplies the sums.
        const uint32_t scale =
            places.absent ? HalfPairOf(1)
                          : MultiplyHalf(__byte_perm(raw.scale[i], 0, places.Selector(step)),
                                         HalfPairOf(static_cast<int>(kWeightScale)));
        if constexpr (HasMins(kLayout)) {
          const uint32_t min = MultiplyHalf(__byte_perm(raw.min[i], 0, places.Selector(step)),
                                            HalfPairOf(static_cast<int>(kWeightScale)));
#pragma unroll
          for (int k = 0; k < 4; ++k) w[k] = MultiplyAddHalf(q[k], scale, min);
        } else {
#pragma unroll
          for (int k = 0; k < 4; ++k) w[k] = MultiplyHalf(q[k], scale);
        }
      }
    }
    a[i] = w[0], a[i + 2] = w[1], a[4 + i] = w[2], a[4 + i + 2] = w[3];
  }
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_WEIGHTS_H_
