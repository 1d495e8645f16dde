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
        starts_(reinterpret_cast<float2*>(block.shared + block.layout.input.sums) +
                WarpIndex() * kTokenStarts + Lane() % 4),
        values_(Lane() / 4 * layout_.value_row + Lane() % 4 * 4),
        scales_(layout_.scales + Lane() / 4 * layout_.scale_row) {
    LoadInput(block);
    SumInput();
  }

  // Adds the warp's columns of a slice, which is one piece.
  GEMMA_DEVICE void AddChunk(const std::byte* stage, int /*piece*/, float (&sums)[4]) const {
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
      const int set = WarpIndex() + i * kStreamWarps;
      if (set < sets_) AddSet(stage, set, i, sums);
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
  static constexpr int kSets = kWarpSets;
  static constexpr int kGroups = 4;  // of a set

  // Of the warp's own columns. They come in whole lines of memory, half a warp a token, and change
  // lanes through shared memory.
  GEMMA_DEVICE void LoadInput(const StreamBlock& block) {
    const MatvecParams& p = block.p;
    constexpr int kLoads = kTokens / 2;
    const int chunk = Lane() % 16, first_column = block.slice * block.s.slice_columns + chunk * 8;
    uint4 lines[kSets][kLoads];
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
      const int set = WarpIndex() + i * kStreamWarps;
#pragma unroll
      for (int j = 0; j < kLoads; ++j) {
        const int token = 2 * j + Lane() / 16;
        const bool inside = token < p.tokens && set < sets_;
        const uint16_t* const from = p.in + token * p.in_stride + first_column + set * 128;
        lines[i][j] = inside ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
      }
    }
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
#pragma unroll
      for (int j = 0; j < kLoads; ++j)
        *reinterpret_cast<uint4*>(StagedChunk(block, 2 * j + Lane() / 16, chunk)) = lines[i][j];
      __syncwarp();
#pragma unroll
      for (int group = 0; group < kGroups; ++group)
        x_[i][group] = Ordered(StagedGroup(block, group));
      __syncwarp();
    }
  }

  // 16 bytes of a token's 128 columns, where the warp will leave its sums: its outputs of each slot
  // have room for a quarter of the tokens. Permuted so that reads meet different banks.
  GEMMA_DEVICE static std::byte* StagedChunk(const StreamBlock& block, int token, int chunk) {
    constexpr int kTokensASlot = kTokens / kStreamSlots;
    float* const slot = block.Partials<kTokens>(token / kTokensASlot, WarpIndex());
    return reinterpret_cast<std::byte*>(slot) + token % kTokensASlot * 256 +
           (chunk ^ (2 * token % 16)) * 16;
  }

  // Columns 4t to 4t + 3 and 16 + 4t to 16 + 4t + 3 of a group, of token g.
  GEMMA_DEVICE static uint4 StagedGroup(const StreamBlock& block, int group) {
    const int token = Lane() / 4 % kTokens, t = Lane() % 4, chunk = group * 4 + t / 2;
    const uint2 low = *reinterpret_cast<const uint2*>(StagedChunk(block, token, chunk) + t % 2 * 8);
    const uint2 high =
        *reinterpret_cast<const uint2*>(StagedChunk(block, token, chunk + 2) + t % 2 * 8);
    return make_uint4(low.x, low.y, high.x, high.y);
  }

  // Even columns before odd ones; the first four times 16, since the weights of the last four are.
  GEMMA_DEVICE static uint4 Ordered(const uint4& x) {
    static_assert(HighNibble(kLayout) == 16);
    constexpr uint32_t kSixteen = 0x4c004c00;  // float16
    return make_uint4(MultiplyHalf(__byte_perm(x.x, x.y, 0x5410), kSixteen),
                      MultiplyHalf(__byte_perm(x.x, x.y, 0x7632), kSixteen),
                      __byte_perm(x.z, x.w, 0x5410), __byte_perm(x.z, x.w, 0x7632));
  }

  // Adds 128 columns: set `set` of the stage, the warp's own `i`.
  GEMMA_DEVICE void AddSet(const std::byte* stage, int set, int i, float (&sums)[4]) const {
    uint32_t words[kGroups][2];
    uint2 scales[2], mins[2] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const std::byte* const values = stage + values_ + 8 * r * layout_.value_row + set * 64;
#pragma unroll
      for (int group = 0; group < kGroups; ++group) words[group][r] = LoadWord(values + group * 16);
      const std::byte* const from = stage + scales_ + 8 * r * layout_.scale_row + set * 8;
      scales[r] = *reinterpret_cast<const uint2*>(from);
      if constexpr (HasMins(kLayout))
        mins[r] = *reinterpret_cast<const uint2*>(from + layout_.mins - layout_.scales);
    }
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const float2 start = starts_[(i * kGroups + group) * 4];
      float low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
      if constexpr (ZeroPoint(kLayout) > 0) {
        low[0] = low[2] = start.x;
        low[1] = low[3] = start.y;
      }
      Fragments a;
      SpreadNibbles(words[group][0], 0, a);
      SpreadNibbles(words[group][1], 1, a);
      const uint4& x = x_[i][group];
      MultiplyAccumulateHalf(low, a[0], x.x, x.y);
      MultiplyAccumulateHalf(high, a[1], x.z, x.w);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        sums[r] += Pick(scales[r / 2], group) * (low[r] + high[r]);
        if constexpr (HasMins(kLayout))
          sums[r] += Pick(mins[r / 2], group) * (r % 2 == 0 ? start.x : start.y);
      }
    }
  }

  // The float16 of a group.
  GEMMA_DEVICE static float Pick(const uint2& four, int group) {
    const uint32_t pair = group < 2 ? four.x : four.y;
    return group % 2 == 0 ? HalfLowToFloat(pair) : HalfHighToFloat(pair);
  }

  // -zero point * sum(x), or sum(x) where there is none, in the units of the products, of each group:
  // what weights that are all the same would give.
  GEMMA_DEVICE void SumInput() const {
    constexpr uint32_t kZero = static_cast<uint32_t>(ZeroPoint(kLayout));
    static_assert(kZero * 16 < 1024);  // a multiple of kQuantum that is subnormal
    constexpr uint32_t kWeight = kZero > 0 ? 0x8000 | kZero : 1;
    constexpr uint32_t kHigh = kZero > 0 ? 0x8000 | kZero * 16 : 16;
    constexpr uint32_t kPair = kWeight * 0x10001, kHighPair = kHigh * 0x10001;
    const uint32_t low[4] = {kPair, kPair, kPair, kPair};
    const uint32_t high[4] = {kHighPair, kHighPair, kHighPair, kHighPair};
#pragma unroll
    for (int i = 0; i < kSets; ++i) {
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const uint4& x = x_[i][group];
        float c[4] = {0, 0, 0, 0};
        MultiplyAccumulateHalf(c, low, x.x, x.y);
        MultiplyAccumulateHalf(c, high, x.z, x.w);
        if (Lane() < 4) starts_[(i * kGroups + group) * 4] = make_float2(c[0], c[1]);
      }
    }
    __syncwarp();
  }

  const StreamStage& layout_;
  const int sets_;        // of a slice, all warps'
  float2* const starts_;  // of this lane's tokens, [set][group][4]
  uint4 x_[kSets][kGroups];
  const int values_;
  const int scales_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_TOKENS_H_
