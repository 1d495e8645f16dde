// The lanes of a multiplying warp of the streamed product (stream.cu), for three to eight tokens.
//
// A warp multiplies the same columns of every tile, so their input stays in its registers: it is
// read once, by as many loads at a time as there are, and leaves the shared memory to weights.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_TOKENS_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_TOKENS_H_

#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/matvec/multiply.h"
#include "cc/kernels/cuda/matvec/params.h"
#include "cc/kernels/cuda/matvec/stream_block.h"

namespace gemma::cuda {

// All lanes take the same group of 32 columns, lane 4 g + t the word t of rows g and g + 8 and of
// token g's input; it gets the results of tokens 2 t and 2 t + 1. Of four tokens, the upper lanes
// repeat what the lower ones do.
template <WeightLayout kLayout, int kTokens>
class TokenLanes {
 public:
  static_assert(kTokens == 4 || kTokens == 8);

  // Reads the input: the kernel that makes it must have ended.
  GEMMA_DEVICE explicit TokenLanes(const StreamBlock& block)
      : layout_(block.layout.stage),
        sets_(block.s.piece_columns / 128),
        values_(Lane() / 4 * layout_.value_row + Lane() % 4 * 4),
        scales_(layout_.scales + Lane() / 4 * layout_.scale_row) {
    LoadInput(block.p, block.slice * block.s.slice_columns);
  }

  // Adds the warp's columns of a slice, which is one piece.
  GEMMA_DEVICE void AddChunk(const std::byte* stage, int /*piece*/, float (&sums)[4]) const {
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
      const int set = WarpIndex() + i * kStreamWarps;
      if (set < sets_) AddSet(stage, set, x_[i], sums);
    }
  }

  // The warp's sums of a tile, [token][row].
  GEMMA_DEVICE static void Leave(const float (&sums)[4], float* to) {
    if (Lane() % 4 >= kTokens / 2) return;
    to += Lane() % 4 * 2 * kStreamTileRows + Lane() / 4;
    to[0] = sums[0];
    to[kStreamTileRows] = sums[1];
    to[8] = sums[2];
    to[kStreamTileRows + 8] = sums[3];
  }

 private:
  static constexpr int kSets = kMaxPieceColumns / 128 / kStreamWarps;  // of 128 columns
  static constexpr int kGroups = 4;                                    // of a set

  // Columns 4t to 4t + 3 and 16 + 4t to 16 + 4t + 3 of each group, in the order of Fragments.
  GEMMA_DEVICE void LoadInput(const MatvecParams& p, int first_column) {
    const int token = Lane() / 4 % kTokens;
    const uint16_t* const from =
        p.in + (token < p.tokens ? token * p.in_stride : 0) + first_column + Lane() % 4 * 4;
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
      const int set = WarpIndex() + i * kStreamWarps;
      const bool inside = token < p.tokens && set < sets_;
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const uint16_t* const columns = from + (inside ? set * 128 + group * 32 : 0);
        const uint2 low = inside ? *reinterpret_cast<const uint2*>(columns) : make_uint2(0, 0);
        const uint2 high =
            inside ? *reinterpret_cast<const uint2*>(columns + 16) : make_uint2(0, 0);
        x_[i][group] = make_uint4(low.x, low.y, high.x, high.y);
      }
    }
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
#pragma unroll
      for (int group = 0; group < kGroups; ++group) x_[i][group] = Ordered(x_[i][group]);
    }
  }

  // Even columns before odd ones; the first four times 16, since the weights of the last four are.
  GEMMA_DEVICE static uint4 Ordered(const uint4& x) {
    static_assert(HighNibble(kLayout) == 16);
    constexpr uint32_t kSixteen = 0x4c004c00;  // float16
    return make_uint4(MultiplyHalf(__byte_perm(x.x, x.y, 0x5410), kSixteen),
                      MultiplyHalf(__byte_perm(x.x, x.y, 0x7632), kSixteen),
                      __byte_perm(x.z, x.w, 0x5410), __byte_perm(x.z, x.w, 0x7632));
  }

  // Adds 128 columns: set `set` of the stage.
  GEMMA_DEVICE void AddSet(const std::byte* stage, int set, const uint4 (&x)[kGroups],
                           float (&sums)[4]) const {
    uint2 scales[2], mins[2] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const std::byte* const from = stage + scales_ + 8 * r * layout_.scale_row + set * 8;
      scales[r] = *reinterpret_cast<const uint2*>(from);
      if constexpr (HasMins(kLayout))
        mins[r] = *reinterpret_cast<const uint2*>(from + layout_.mins - layout_.scales);
    }
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const std::byte* const values = stage + values_ + set * 64 + group * 16;
      float products[4] = {0, 0, 0, 0};
      if constexpr (ZeroPoint(kLayout) > 0) AddSameWeights(x[group], products);
      AddProducts(values, x[group], products);
#pragma unroll
      for (int r = 0; r < 4; ++r) sums[r] += Pick(scales[r / 2], group) * products[r];
      if constexpr (HasMins(kLayout)) {
        float totals[4] = {0, 0, 0, 0};
        AddSameWeights(x[group], totals);
#pragma unroll
        for (int r = 0; r < 4; ++r) sums[r] += Pick(mins[r / 2], group) * totals[r];
      }
    }
  }

  // The float16 of a group.
  GEMMA_DEVICE static float Pick(const uint2& four, int group) {
    const uint32_t pair = group < 2 ? four.x : four.y;
    return group % 2 == 0 ? HalfLowToFloat(pair) : HalfHighToFloat(pair);
  }

  GEMMA_DEVICE void AddProducts(const std::byte* values, const uint4& x, float (&c)[4]) const {
    Fragments a;
    SpreadNibbles(LoadWord(values), 0, a);
    SpreadNibbles(LoadWord(values + 8 * layout_.value_row), 1, a);
    MultiplyAccumulateHalf(c, a[0], x.x, x.y);
    MultiplyAccumulateHalf(c, a[1], x.z, x.w);
  }

  // Adds -zero point * sum(x), or sum(x) where there is none, in the units of the products: what
  // weights that are all the same would give.
  GEMMA_DEVICE static void AddSameWeights(const uint4& x, float (&c)[4]) {
    constexpr uint32_t kZero = static_cast<uint32_t>(ZeroPoint(kLayout));
    static_assert(kZero * 16 < 1024);  // a multiple of kQuantum that is subnormal
    constexpr uint32_t kWeight = kZero > 0 ? 0x8000 | kZero : 1;
    constexpr uint32_t kHigh = kZero > 0 ? 0x8000 | kZero * 16 : 16;
    constexpr uint32_t kPair = kWeight * 0x10001, kHighPair = kHigh * 0x10001;
    const uint32_t low[4] = {kPair, kPair, kPair, kPair};
    const uint32_t high[4] = {kHighPair, kHighPair, kHighPair, kHighPair};
    MultiplyAccumulateHalf(c, low, x.x, x.y);
    MultiplyAccumulateHalf(c, high, x.z, x.w);
  }

  const StreamStage& layout_;
  const int sets_;  // of a slice, all warps'
  uint4 x_[kSets][kGroups];
  const int values_;
  const int scales_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_TOKENS_H_
