// Multiplies a unit of weights in a warp's ring with the input, on the tensor cores.
//
// The integer units share their instructions with address arithmetic and run at half the rate of the others, so all addresses
// below are a base and a constant, and a pair of weights takes one and a half integer instructions.
#ifndef CC_KERNELS_CUDA_MATVEC_MULTIPLY_H_
#define CC_KERNELS_CUDA_MATVEC_MULTIPLY_H_

#include "cc/kernels/cuda/decode.h"
#include "cc/kernels/cuda/matvec_copy.h"
#include "cc/kernels/cuda/matvec_input.h"
#include "cc/kernels/cuda/matvec_params.h"

namespace gemma::cuda {

GEMMA_DEVICE uint32_t LoadWord(const std::byte* from) { return *reinterpret_cast<const uint32_t*>(from); }
GEMMA_DEVICE uint4 LoadFourWords(const std::byte* from) { return *reinterpret_cast<const uint4*>(from); }
GEMMA_DEVICE float LowHalf(uint32_t pair) { return HalfBitsToFloat(static_cast<uint16_t>(pair)); }
GEMMA_DEVICE float HighHalf(uint32_t pair) { return HalfBitsToFloat(static_cast<uint16_t>(pair >> 16)); }

// Word i of four, i known when compiling.
GEMMA_DEVICE uint32_t WordOf(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Eight float16, one for each block of 32 columns of a unit.
struct UnitHalves {
  uint4 words;

  GEMMA_DEVICE float At(int b) const {
    const uint32_t pair = WordOf(words, b / 2);
    return b % 2 == 0 ? LowHalf(pair) : HighHalf(pair);
  }

  // Repeats those of groups of 64 or 128 columns.
  GEMMA_DEVICE void Spread(int group) {
    if (group == 64) {
      words = make_uint4(__byte_perm(words.x, 0, 0x1010), __byte_perm(words.x, 0, 0x3232),
                         __byte_perm(words.y, 0, 0x1010), __byte_perm(words.y, 0, 0x3232));
    } else if (group == 128) {
      const uint32_t low = __byte_perm(words.x, 0, 0x1010), high = __byte_perm(words.x, 0, 0x3232);
      words = make_uint4(low, low, high, high);
    }
  }
};

// This lane's B fragments of a unit of the input (token Lane() / 4), for both halves of the tile. In the lanes beyond the tokens
// they stay zero from the beginning.
template <Layout kLayout, int kTokens>
class UnitInput {
 public:
  static constexpr int kBlocks = UnitColumns(kLayout) / 32;

  GEMMA_DEVICE explicit UnitInput(const InputView& in)
      : from_(in.activations + (kTokens < 8 && Lane() / 4 >= kTokens ? 0 : Lane() / 4) * in.activation_stride +
              Lane() % 4 * 16),
        active_(kTokens == 8 || Lane() / 4 < kTokens) {}

  // All blocks of the unit that starts at block `first`.
  GEMMA_DEVICE void Load(int first) {
    const std::byte* const from = from_ + first * 64;
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      uint32_t(&x)[4] = x_[b];
#ifdef GEMMA_CUDA_EMULATION
      if (active_) memcpy(x, from + b * 64, 16);
#else
      asm volatile(
          "{\n.reg .pred p;\nsetp.ne.s32 p, %5, 0;\n@p ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
          : "+r"(x[0]), "+r"(x[1]), "+r"(x[2]), "+r"(x[3])
          : "r"(SharedAddress(from + b * 64)), "r"(static_cast<int>(active_)));
#endif
    }
  }

  GEMMA_DEVICE const uint32_t (&Block(int b) const)[4] { return x_[b]; }

 private:
  const std::byte* const from_;
  const bool active_;
  uint32_t x_[kBlocks][4] = {};
};

// What the sums of a block start from, for tokens 2t and 2t + 1. Lanes without tokens get those of others: nobody stores their
// results.
template <int kTokens>
GEMMA_DEVICE float4 LoadStart(const float4* sums, int block) {
  constexpr int kPairs = TokenPairs(kTokens);
  return sums[block * kPairs + Lane() % 4 % kPairs];
}

// All that a unit's scales are, for the rows g and g + 8.
template <Layout kLayout>
struct UnitScales {
  UnitHalves scales[2];
  UnitHalves mins[2];
  float d[2];

  GEMMA_DEVICE void Load(const MatvecParams& p, const std::byte* stage, int odd) {
    constexpr StageLayout kStage = StageOf(kLayout);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = Lane() / 4 + 8 * r;
      scales[r].words = LoadFourWords(stage + row * kStage.row + kStage.value_bytes);
      if constexpr (HasMins(kLayout)) mins[r].words = LoadFourWords(stage + kStage.mins + row * 16);
      if constexpr (kLayout == Layout::kQ6_K) {
        const uint32_t pair = LoadWord(stage + kStage.blocks + row * 4);
        d[r] = odd != 0 ? HighHalf(pair) : LowHalf(pair);
      }
    }
    if constexpr (kLayout < Layout::kQ4_K) {
      if (p.float_scales) {
        // Ones; the row's own scale comes in the epilogue.
        scales[0].words = scales[1].words = make_uint4(0x3c003c00, 0x3c003c00, 0x3c003c00, 0x3c003c00);
        mins[0].words = mins[1].words = make_uint4(0, 0, 0, 0);
      } else if (p.group != 32) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          scales[r].Spread(p.group);
          if constexpr (HasMins(kLayout)) mins[r].Spread(p.group);
        }
      }
    }
  }

  // weight = scale * (q - zero point) + min in block b of the unit.
  GEMMA_DEVICE float Scale(int r, int b) const {
    if constexpr (HasPackedScales(kLayout)) {
      return LowHalf(scales[r].words.w) * static_cast<float>(Packed(r, b).scale);
    } else {
      return scales[r].At(b);
    }
  }
  GEMMA_DEVICE float Min(int r, int b) const {
    if constexpr (HasPackedScales(kLayout)) {
      return -HighHalf(scales[r].words.w) * static_cast<float>(Packed(r, b).min);
    } else {
      return mins[r].At(b);
    }
  }
  GEMMA_DEVICE SixBitPair Packed(int r, int b) const {
    return UnpackSixBits(scales[r].words.x, scales[r].words.y, scales[r].words.z, b);
  }
  // Q6_K: of 16 columns.
  GEMMA_DEVICE float SmallScale(int r, int b, int half) const {
    const uint32_t word = WordOf(scales[r].words, b / 2) >> (b % 2 * 16 + half * 8);
    return d[r] * static_cast<float>(static_cast<int8_t>(word));
  }
};

// The integer fragments of block b (32 columns) of a stage.
template <Layout kLayout>
GEMMA_DEVICE void LoadFragments(const std::byte* stage, int b, uint32_t magic, Fragments& a) {
  constexpr StageLayout kStage = StageOf(kLayout);
  const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const std::byte* values = stage + g * kStage.row + t * 4 + (8 * r * kStage.row + b * ValueBytes(kLayout));
    if constexpr (kLayout == Layout::kInt8) {
      SpreadInt8(LoadWord(values), LoadWord(values + 16), r, a);
    } else {
      SpreadNibbles(LoadWord(values), r, magic, a);
    }
    const std::byte* extra = stage + g * kStage.extra_row + (kStage.extra + 8 * r * kStage.extra_row);
    if constexpr (HasBitPlane(kLayout)) SpreadBits(LoadWord(extra + b * 4), t, r, a);
    if constexpr (kLayout == Layout::kQ6_K) SpreadPairs(LoadWord(extra + t % 2 * 4 + b * 8), t, r, a);
  }
}

// One block of 32 columns of unquantized weights: their bfloat16 parts go straight into the sums.
template <Layout kLayout>
GEMMA_DEVICE void AddFloatBlock(const std::byte* stage, int b, const uint32_t (&x)[4], float (&sums)[4]) {
  constexpr StageLayout kStage = StageOf(kLayout);
  constexpr int kBytes = ValueBytes(kLayout);
  const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float f[2][4];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      FourFloats<kLayout>(stage + g * kStage.row + t * (kBytes / 8) + (8 * r * kStage.row + b * kBytes + half * kBytes / 2),
                          f[r]);
    }
#pragma unroll
    for (int part = 0; part < FragmentParts(kLayout); ++part) {
      uint32_t a[4];
      TakeBf16(f[0], a[0], a[2]);
      TakeBf16(f[1], a[1], a[3]);
      MultiplyAccumulate(sums, a, x[2 * half], x[2 * half + 1]);
    }
  }
}

// Adds c, the product of q less its zero point with the input, times the scale, to the sums of row g + 8 r. `start`: what c
// started from, -128 * sum(x) in layouts with mins.
template <Layout kLayout, int kTokens>
GEMMA_DEVICE void AddScaled(const float (&c)[4], int r, float scale, float min, const float4& start, float (&sums)[4]) {
  sums[2 * r] += scale * c[2 * r];
  if (kTokens > 1) sums[2 * r + 1] += scale * c[2 * r + 1];
  if constexpr (HasMins(kLayout) || HasPackedScales(kLayout)) {
    static_assert(Offset(kLayout) == 128);
    const float factor = min * (-1.0f / 128);
    sums[2 * r] += factor * start.x;
    if (kTokens > 1) sums[2 * r + 1] += factor * start.y;
  }
}

// One block of 32 columns of quantized weights.
template <Layout kLayout, int kTokens>
GEMMA_DEVICE void AddBlock(const std::byte* stage, int b, int block, const uint32_t (&x)[4], const float4* starts,
                           const UnitScales<kLayout>& scales, uint32_t magic, float (&sums)[4]) {
  Fragments a;
  LoadFragments<kLayout>(stage, b, magic, a);
  if constexpr (kLayout == Layout::kQ6_K) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float4 start = LoadStart<kTokens>(starts, 2 * block + half);
      float c[4] = {start.x, start.y, start.z, start.w};
      MultiplyAccumulate(c, a[half], x[2 * half], x[2 * half + 1]);
#pragma unroll
      for (int r = 0; r < 2; ++r) AddScaled<kLayout, kTokens>(c, r, scales.SmallScale(r, b, half), 0, start, sums);
    }
  } else {
    float4 start = make_float4(0, 0, 0, 0);
    if constexpr (kLayout != Layout::kInt8) start = LoadStart<kTokens>(starts, block);
    float c[4] = {start.x, start.y, start.z, start.w};
    MultiplyAccumulate(c, a[0], x[0], x[1]);
    MultiplyAccumulate(c, a[1], x[2], x[3]);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float min = 0;
      if constexpr (HasMins(kLayout) || HasPackedScales(kLayout)) min = scales.Min(r, b);
      AddScaled<kLayout, kTokens>(c, r, scales.Scale(r, b), min, start, sums);
    }
  }
}

// Adds half a unit. `odd`: Q6_K, whether the unit's d is in the upper half of its word.
template <Layout kLayout, int kTokens>
GEMMA_DEVICE void AddHalfUnit(const MatvecParams& p, const std::byte* stage, int in_tile, int odd, const InputView& in,
                              const UnitInput<kLayout, kTokens>& activations, uint32_t magic, float (&sums)[4]) {
  constexpr int kBlocks = UnitColumns(kLayout) / 32;
  UnitScales<kLayout> scales;
  if constexpr (!IsFloat(kLayout)) scales.Load(p, stage, odd);
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    if constexpr (IsFloat(kLayout)) {
      AddFloatBlock<kLayout>(stage, b, activations.Block(b), sums);
    } else {
      AddBlock<kLayout, kTokens>(stage, b, in_tile * kBlocks + b, activations.Block(b), in.sums, scales, magic, sums);
    }
  }
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_MULTIPLY_H_
