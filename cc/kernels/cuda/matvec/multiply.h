// Multiplies a unit of weights in a warp's ring with the input, on the tensor cores.
//
// The integer units share their instructions with address arithmetic and run
// at half the rate of the others, so all addresses below are a base and a constant,
// and eight weights take five integer instructions.
#ifndef CC_KERNELS_CUDA_MATVEC_MULTIPLY_H_
#define CC_KERNELS_CUDA_MATVEC_MULTIPLY_H_

#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/matvec/copy.h"
#include "cc/kernels/cuda/matvec/input.h"
#include "cc/kernels/cuda/matvec/params.h"

namespace gemma::cuda {

GEMMA_DEVICE uint32_t LoadWord(const std::byte* from) {
  return *reinterpret_cast<const uint32_t*>(from);
}
GEMMA_DEVICE uint4 LoadFourWords(const std::byte* from) {
  return *reinterpret_cast<const uint4*>(from);
}
// 16 bytes of shared memory into x, in the lanes that are active.
GEMMA_DEVICE void LoadWhere(bool active, const std::byte* from, uint32_t (&x)[4]) {
#ifdef GEMMA_CUDA_EMULATION
  if (active) memcpy(x, from, 16);
#else
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.s32 p, %5, 0;\n@p ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "+r"(x[0]), "+r"(x[1]), "+r"(x[2]), "+r"(x[3])
      : "r"(SharedAddress(from)), "r"(static_cast<int>(active)));
#endif
}

// Scale and min of a group of a Q4_K or Q5_K row: 12 packed bytes, d, dmin.
struct Factors {
  float scale;
  float min;
};
GEMMA_DEVICE Factors UnpackFactors(const uint4& packed, int group) {
  const SixBitPair pair = UnpackSixBits(packed.x, packed.y, packed.z, group);
  return {HalfLowToFloat(packed.w) * static_cast<float>(pair.scale),
          -HalfHighToFloat(packed.w) * static_cast<float>(pair.min)};
}

// The factors of group `group` (0 to 7) of a unit's row (0 to 15 of the half).
template <WeightLayout kLayout, bool kAnyGroup>
GEMMA_DEVICE Factors LoadFactors(const MatvecParams& p, const std::byte* stage, int row,
                                 int group) {
  constexpr StageLayout kStage = StageOf(kLayout);
  if constexpr (HasPackedScales(kLayout)) {
    return UnpackFactors(LoadFourWords(stage + kStage.scales + row * 16), group);
  } else if constexpr (HasSignedScales(kLayout)) {
    const uint2 packed = *reinterpret_cast<const uint2*>(stage + kStage.scales + row * 16);
    const int scale = UnpackSignedSixBits(packed.x >> 16, packed.y, group);
    return {HalfLowToFloat(packed.x) * static_cast<float>(scale), 0};
  } else {
    // One scale a row comes in the epilogue.
    if (kAnyGroup && p.float_scales) return {1, 0};
    const int at = row * 16 + (kAnyGroup ? group * 32 / p.group : group) * 2;
    Factors f{HalfBitsToFloat(*reinterpret_cast<const uint16_t*>(stage + kStage.scales + at)), 0};
    if constexpr (HasMins(kLayout))
      f.min = HalfBitsToFloat(*reinterpret_cast<const uint16_t*>(stage + kStage.mins + at));
    return f;
  }
}

// The scales of two halves of a group, in the low bytes of `scales`, where HasHalfScales; those of
// kE4m3 over kE4m3Unit, and without the row's, which comes in the epilogue.
struct HalfScales {
  float low;
  float high;
};
template <WeightLayout kLayout>
GEMMA_DEVICE HalfScales HalfScalesOf(uint32_t scales, float d) {
  if constexpr (HasInt8Scales(kLayout)) {
    return {d * static_cast<float>(static_cast<int8_t>(scales)),
            d * static_cast<float>(static_cast<int8_t>(scales >> 8))};
  } else {
    const uint32_t halves = E4m3ToHalves(__byte_perm(scales, 0, 0x1404));
    return {HalfLowToFloat(halves), HalfHighToFloat(halves)};
  }
}
// kInt8: d of a row, whose word also holds that of a neighbouring unit.
template <WeightLayout kLayout>
GEMMA_DEVICE float LoadD(const std::byte* stage, int row, int odd) {
  if constexpr (!HasInt8Scales(kLayout)) return 1;
  const uint32_t pair = LoadWord(stage + StageOf(kLayout).blocks + row * 4);
  return odd != 0 ? HalfHighToFloat(pair) : HalfLowToFloat(pair);
}

// A sum times this is the product, or, where scales come in the epilogue, what they multiply.
constexpr float ResultUnit(WeightLayout l) {
  const float scale_unit = HasRowScales(l) ? kE4m3Unit : 1;
  return HasNibbles(l) ? scale_unit * kActivationUnit / kQuantum / HighNibble(l) : kActivationUnit;
}

// What a unit is multiplied with, and where its results go.
struct UnitContext {
  const MatvecParams& p;
  InputView in;
  int in_tile;
  int odd;  // kInt8: whether the unit's d is in the upper half of its word
};

// ---- lanes take groups: 1 or 2 tokens ----
//
// Lane 4 g + t takes group 4 i + t (i = 0, 1) of rows g and g + 8: 16 bytes of nibbles, or 32 of
// int8. Step w of the tensor core takes four columns of each lane's group, so its 16 "columns" come
// from four groups. The input has them in four columns of its own: column n holds the token n / 4
// in the rows of lanes with t = n % 4 and zeros elsewhere. So column n of the result is the sum
// over group 4 i + n % 4 for token n / 4. This lane gets the columns 2t and 2t + 1: groups 4 i + 2
// (t % 2) and the next one.
template <WeightLayout kLayout, int kTokens, bool kAnyGroup>
class GroupMultiplier {
 public:
  static constexpr StageLayout kStage = StageOf(kLayout);
  static constexpr float kResultUnit = ResultUnit(kLayout);
  static constexpr bool kHasRowScales = HasRowScales(kLayout);

  GEMMA_DEVICE explicit GroupMultiplier(const InputView& in)
      : active_(Lane() / 4 % 4 == Lane() % 4 && Lane() / 16 < kTokens),
        from_(in.activations + (active_ ? Lane() / 16 : 0) * in.activation_stride +
              Lane() % 4 * 64) {}

  // The input of the unit, for both halves of the tile.
  GEMMA_DEVICE void LoadInput(const UnitContext& c) {
    const std::byte* const from = from_ + c.in_tile * 512;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int w = 0; w < 4; ++w) LoadWhere(active_, from + i * 256 + w * 16, x_[i][w]);
    }
  }

  // Adds half a unit. sums: [row g: group 2t', 2t' + 1; row g + 8: the same] with t' = t % 2, of
  // token t / 2
  GEMMA_DEVICE void AddHalf(const UnitContext& c, const std::byte* stage, float (&sums)[4]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) AddGroups(c, stage, i, sums);
  }

  // Adds up what the lanes have, and leaves the sum
  // of a token and row with 16 rows of a token to each.
  GEMMA_DEVICE static void Leave(const float (&sums)[4], float* to, int stride) {
    float low = sums[0] + sums[1], high = sums[2] + sums[3];
    low += __shfl_xor_sync(kAllLanes, low, 1);
    high += __shfl_xor_sync(kAllLanes, high, 1);
    const int token = Lane() % 4 / 2;
    if (Lane() % 2 == 0 && token < kTokens) {
      to[token * stride + Lane() / 4] = low;
      to[token * stride + Lane() / 4 + 16] = high;
    }
  }

 private:
  GEMMA_DEVICE void AddGroups(const UnitContext& c, const std::byte* stage, int i,
                              float (&sums)[4]) const {
    const int g = Lane() / 4, t = Lane() % 4;
    const int set = c.in_tile * 2 + i;
    uint4 words[2], more[2], extra[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) LoadRow(stage, g + 8 * r, i, words[r], more[r], extra[r]);
    float low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
    if constexpr (HasHalfScales(kLayout)) {
      SetStart(c.in.starts[(2 * set) * 4 + t], low);
      SetStart(c.in.starts[(2 * set + 1) * 4 + t], high);
    } else if constexpr (ZeroPoint(kLayout) > 0) {
      SetStart(c.in.starts[set * 4 + t], low);
    }
    float totals[2] = {0, 0};
    if constexpr (HasMins(kLayout) || HasPackedScales(kLayout)) {
      totals[0] = c.in.starts[set * 4 + t].x;
      totals[1] = c.in.starts[set * 4 + t].y;
    }
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      Fragments a;
#pragma unroll
      for (int r = 0; r < 2; ++r) Spread(words[r], more[r], extra[r], w, r, a);
      const uint32_t (&x)[4] = x_[i][w];
      MultiplyAccumulateHalf(low, a[0], x[0], x[1]);
      MultiplyAccumulateHalf(high, a[1], x[2], x[3]);
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) AddScaled(c, stage, g + 8 * r, i, r, low, high, totals, sums);
  }

  GEMMA_DEVICE static void SetStart(const float4& start, float (&c)[4]) {
    c[0] = start.x, c[1] = start.y, c[2] = start.z, c[3] = start.w;
  }

  GEMMA_DEVICE static void LoadRow(const std::byte* stage, int row, int i, uint4& words,
                                   uint4& more, uint4& extra) {
    const int t = Lane() % 4;
    const std::byte* const values = stage + row * kStage.row;
    if constexpr (kLayout == WeightLayout::kInt8) {
      words = LoadFourWords(values + SwizzledChunk<kLayout, true>(row, 8 * i + 2 * t) * 16);
      more = LoadFourWords(values + SwizzledChunk<kLayout, true>(row, 8 * i + 2 * t + 1) * 16);
    } else {
      words = LoadFourWords(values + SwizzledChunk<kLayout, true>(row, 4 * i + t) * 16);
    }
    const std::byte* const plane = stage + kStage.extra + row * kStage.extra_row;
    if constexpr (HasBitPlane(kLayout)) extra.x = LoadWord(plane + (4 * i + t) * 4);
    if constexpr (HasPairPlane(kLayout)) {
      const uint2 pair = *reinterpret_cast<const uint2*>(plane + (4 * i + t) * 8);
      extra.x = pair.x, extra.y = pair.y;
    }
  }

  GEMMA_DEVICE static uint32_t Word(const uint4& v, int w) {
    return w == 0 ? v.x : w == 1 ? v.y : w == 2 ? v.z : v.w;
  }

  GEMMA_DEVICE static void Spread(const uint4& words, const uint4& more, const uint4& extra, int w,
                                  int r, Fragments& a) {
    if constexpr (kLayout == WeightLayout::kInt8) {
      // Columns 4w to 4w + 3 and 16 + 4w to 16 + 4w + 3.
      SpreadInt8(Word(words, w), Word(more, w), r, a);
    } else if constexpr (HasLevels(kLayout)) {
      SpreadLevels<kLayout>(Word(words, w), r, a);
    } else {
      SpreadNibbles(Word(words, w), r, a);
    }
    if constexpr (HasBitPlane(kLayout)) SpreadBits(extra.x, w, r, a);
    if constexpr (HasPairPlane(kLayout)) SpreadPairs(w % 2 == 0 ? extra.x : extra.y, w, r, a);
  }

  // Row r (g or g + 8): the two groups of this lane's result.
  GEMMA_DEVICE static void AddScaled(const UnitContext& c, const std::byte* stage, int row, int i,
                                     int r, const float (&low)[4], const float (&high)[4],
                                     const float (&totals)[2], float (&sums)[4]) {
    const int first = 4 * i + Lane() % 2 * 2;
    if constexpr (HasHalfScales(kLayout)) {
      // Two scales a group, four for the lane: one word.
      const uint32_t scales = LoadWord(stage + kStage.scales + row * 16 + first * 2);
      const float d = LoadD<kLayout>(stage, row, c.odd);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const HalfScales of = HalfScalesOf<kLayout>(scales >> (16 * j), d);
        sums[2 * r + j] += of.low * low[2 * r + j];
        sums[2 * r + j] += of.high * high[2 * r + j];
      }
    } else if constexpr (!kAnyGroup && HasGroups(kLayout)) {
      // Two float16 side by side.
      const uint32_t scales = LoadWord(stage + kStage.scales + row * 16 + first * 2);
      sums[2 * r] += HalfLowToFloat(scales) * (low[2 * r] + high[2 * r]);
      sums[2 * r + 1] += HalfHighToFloat(scales) * (low[2 * r + 1] + high[2 * r + 1]);
      if constexpr (HasMins(kLayout)) {
        const uint32_t mins = LoadWord(stage + kStage.mins + row * 16 + first * 2);
        sums[2 * r] += HalfLowToFloat(mins) * totals[0];
        sums[2 * r + 1] += HalfHighToFloat(mins) * totals[1];
      }
    } else {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const Factors f = LoadFactors<kLayout, kAnyGroup>(c.p, stage, row, first + j);
        sums[2 * r + j] += f.scale * (low[2 * r + j] + high[2 * r + j]);
        if constexpr (HasMins(kLayout) || HasPackedScales(kLayout))
          sums[2 * r + j] += f.min * totals[j];
      }
    }
  }

  const bool active_;
  const std::byte* const from_;
  uint32_t x_[2][4][4] = {};  // zero for good in the lanes that are not active
};

// ---- all lanes take the same group: 3 to 8 tokens, and unquantized weights ----
//
// Lane 4 g + t takes columns 4t to 4t + 3 and 16 + 4t to 16 + 4t + 3 of every block of 32 columns,
// of rows g and g + 8; columns of the result are tokens.
template <WeightLayout kLayout, int kTokens, bool kAnyGroup>
class TokenMultiplier {
 public:
  static constexpr StageLayout kStage = StageOf(kLayout);
  static constexpr int kBlocks = UnitColumns(kLayout) / 32;
  static constexpr float kResultUnit = ResultUnit(kLayout);
  static constexpr bool kHasRowScales = HasRowScales(kLayout);

  GEMMA_DEVICE explicit TokenMultiplier(const InputView& in)
      : active_(kTokens == 8 || Lane() / 4 < kTokens),
        from_(in.activations + (active_ ? Lane() / 4 : 0) * in.activation_stride +
              Lane() % 4 * 16) {}

  GEMMA_DEVICE void LoadInput(const UnitContext& c) {
    const std::byte* const from = from_ + c.in_tile * kBlocks * 64;
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) LoadWhere(active_, from + b * 64, x_[b]);
  }

  // sums: [row g: tokens 2t, 2t + 1; row g + 8: the same]
  GEMMA_DEVICE void AddHalf(const UnitContext& c, const std::byte* stage, float (&sums)[4]) const {
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      if constexpr (IsFloat(kLayout)) {
        AddFloatBlock(stage, b, sums);
      } else {
        AddBlock(c, stage, b, sums);
      }
    }
  }

  GEMMA_DEVICE static void Leave(const float (&sums)[4], float* to, int stride) {
    const int token = Lane() % 4 * 2;
    float* const mine = to + token * stride + Lane() / 4;
    if (token < kTokens) mine[0] = sums[0], mine[16] = sums[2];
    if (token + 1 < kTokens) mine[stride] = sums[1], mine[stride + 16] = sums[3];
  }

 private:
  // The parts of the weights go straight into the sums. A float16 input is the exact sum of two
  // bfloat16, whose range other weights need.
  GEMMA_DEVICE void AddFloatBlock(const std::byte* stage, int b, float (&sums)[4]) const {
    constexpr int kBytes = ValueBytes(kLayout);
    const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float f[2][4];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        FourFloats<kLayout>(stage + g * kStage.row + t * (kBytes / 8) +
                                (8 * r * kStage.row + b * kBytes + half * kBytes / 2),
                            f[r]);
      }
      const uint32_t (&x)[2] = {x_[b][2 * half], x_[b][2 * half + 1]};
      uint32_t a[4];
      if constexpr (kLayout == WeightLayout::kF16) {
        for (int r = 0; r < 2; ++r) {
          a[r] = PackHalf(f[r][0], f[r][2]);
          a[r + 2] = PackHalf(f[r][1], f[r][3]);
        }
        MultiplyAccumulateHalf(sums, a, x[0], x[1]);
      } else {
        const Bf16Parts first = SplitHalf(x[0]), second = SplitHalf(x[1]);
#pragma unroll
        for (int part = 0; part < FragmentParts(kLayout); ++part) {
          TakeBf16(f[0], a[0], a[2]);
          TakeBf16(f[1], a[1], a[3]);
          MultiplyAccumulate(sums, a, first.high, second.high);
          MultiplyAccumulate(sums, a, first.low, second.low);
        }
      }
    }
  }

  GEMMA_DEVICE static void LoadFragments(const std::byte* stage, int b, Fragments& a) {
    const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = g + 8 * r;
      const std::byte* const values = stage + row * kStage.row + t * 4;
      if constexpr (kLayout == WeightLayout::kInt8) {
        SpreadInt8(LoadWord(values + SwizzledChunk<kLayout, false>(row, 2 * b) * 16),
                   LoadWord(values + SwizzledChunk<kLayout, false>(row, 2 * b + 1) * 16), r, a);
      } else if constexpr (HasLevels(kLayout)) {
        SpreadLevels<kLayout>(LoadWord(values + SwizzledChunk<kLayout, false>(row, b) * 16), r, a);
      } else {
        SpreadNibbles(LoadWord(values + SwizzledChunk<kLayout, false>(row, b) * 16), r, a);
      }
      const std::byte* const extra = stage + kStage.extra + row * kStage.extra_row;
      if constexpr (HasBitPlane(kLayout)) SpreadBits(LoadWord(extra + b * 4), t, r, a);
      if constexpr (HasPairPlane(kLayout))
        SpreadPairs(LoadWord(extra + t % 2 * 4 + b * 8), t, r, a);
    }
  }

  // What the sums of a group (or half `half` of it) start from, for tokens 2t and 2t + 1. Lanes
  // beyond the tokens get those of others: nobody stores their results.
  GEMMA_DEVICE static float4 Start(const UnitContext& c, int b, int half) {
    constexpr int kPairs = StartsPerGroup(kTokens);
    constexpr int kHalves = 32 / SumColumns(kLayout);
    const int group = c.in_tile * kBlocks + b;
    return c.in.starts[(group * kHalves + half) * kPairs + Lane() % 4 % kPairs];
  }

  GEMMA_DEVICE static void Add(const float (&c)[4], int r, float scale, float (&sums)[4]) {
    sums[2 * r] += scale * c[2 * r];
    sums[2 * r + 1] += scale * c[2 * r + 1];
  }

  GEMMA_DEVICE void AddBlock(const UnitContext& c, const std::byte* stage, int b,
                             float (&sums)[4]) const {
    const int g = Lane() / 4;
    Fragments a;
    LoadFragments(stage, b, a);
    if constexpr (HasHalfScales(kLayout)) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float4 start = Start(c, b, half);
        float product[4] = {start.x, start.y, start.z, start.w};
        MultiplyAccumulateHalf(product, a[half], x_[b][2 * half], x_[b][2 * half + 1]);
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int row = g + 8 * r;
          const uint32_t scales =
              *reinterpret_cast<const uint16_t*>(stage + kStage.scales + row * 16 + 2 * b);
          const HalfScales of = HalfScalesOf<kLayout>(scales, LoadD<kLayout>(stage, row, c.odd));
          Add(product, r, half == 0 ? of.low : of.high, sums);
        }
      }
    } else {
      float4 start = make_float4(0, 0, 0, 0);
      if constexpr (kLayout != WeightLayout::kInt8) start = Start(c, b, 0);
      const float starts[4] = {start.x, start.y, start.z, start.w};
      float product[4] = {0, 0, 0, 0};
      if constexpr (ZeroPoint(kLayout) > 0) {
        for (int i = 0; i < 4; ++i) product[i] = starts[i];
      }
      MultiplyAccumulateHalf(product, a[0], x_[b][0], x_[b][1]);
      MultiplyAccumulateHalf(product, a[1], x_[b][2], x_[b][3]);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const Factors f = LoadFactors<kLayout, kAnyGroup>(c.p, stage, g + 8 * r, b);
        Add(product, r, f.scale, sums);
        if constexpr (HasMins(kLayout) || HasPackedScales(kLayout)) Add(starts, r, f.min, sums);
      }
    }
  }

  const bool active_;
  const std::byte* const from_;
  uint32_t x_[kBlocks][4] = {};  // zero for good in the lanes beyond the tokens
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_MULTIPLY_H_
