// The warps of the streamed product (stream.cu) that multiply.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_MULTIPLY_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_MULTIPLY_H_

#include <type_traits>

#include "cc/kernels/cuda/matvec/input.h"
#include "cc/kernels/cuda/matvec/multiply.h"
#include "cc/kernels/cuda/matvec/stream_block.h"

namespace gemma::cuda {

// Of one or two tokens. Lane 4 g + t takes group t of four, of rows g and g + 8; multiply.h
// (GroupMultiplier) says how groups and tokens share the columns of the tensor core's result.
template <WeightLayout kLayout, int kTokens>
class GroupLanes {
 public:
  GEMMA_DEVICE GroupLanes(const StreamBlock& block, const InputView& in)
      : layout_(block.layout.stage),
        starts_(in.starts + Lane() % 4),
        input_(block.shared + block.layout.zeros),
        values_(Lane() / 4 * layout_.value_row + Lane() % 4 * 16),
        scales_(layout_.scales + Lane() / 4 * layout_.scale_row + Lane() % 2 * 4) {
    const int token = Lane() / 16;
    if (Lane() / 4 % 4 != Lane() % 4 || token >= kTokens) return;
    input_ = in.activations + token * in.activation_stride + Lane() % 4 * 64;
    input_step_ = 256;
  }

  // Adds 128 columns: set `set` of the stage, `in_row` of the row.
  GEMMA_DEVICE void Add(const std::byte* stage, int set, int in_row, float (&sums)[4]) const {
    uint4 words[2];
    uint32_t scales[2] = {}, mins[2] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      words[r] = LoadFourWords(stage + values_ + 8 * r * layout_.value_row + set * 64);
      const std::byte* const from = stage + scales_ + 8 * r * layout_.scale_row + set * 8;
      scales[r] = LoadWord(from);
      if constexpr (HasMins(kLayout)) mins[r] = LoadWord(from + layout_.mins - layout_.scales);
    }
    const float2 start = *reinterpret_cast<const float2*>(starts_ + in_row * 4);
    float low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
    if constexpr (ZeroPoint(kLayout) > 0) {
      low[0] = low[2] = start.x;
      low[1] = low[3] = start.y;
    }
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const uint4 x = LoadFourWords(input_ + in_row * input_step_ + w * 16);
      Fragments a;
#pragma unroll
      for (int r = 0; r < 2; ++r)
        SpreadNibbles(w == 0   ? words[r].x
                      : w == 1 ? words[r].y
                      : w == 2 ? words[r].z
                               : words[r].w,
                      r, a);
      MultiplyAccumulateHalf(low, a[0], x.x, x.y);
      MultiplyAccumulateHalf(high, a[1], x.z, x.w);
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sums[2 * r] += HalfLowToFloat(scales[r]) * (low[2 * r] + high[2 * r]);
      sums[2 * r + 1] += HalfHighToFloat(scales[r]) * (low[2 * r + 1] + high[2 * r + 1]);
      if constexpr (HasMins(kLayout)) {
        sums[2 * r] += HalfLowToFloat(mins[r]) * start.x;
        sums[2 * r + 1] += HalfHighToFloat(mins[r]) * start.y;
      }
    }
  }

  // The warp's sums of a tile, [token][row].
  GEMMA_DEVICE static void Leave(const float (&sums)[4], float* to) {
    float low = sums[0] + sums[1], high = sums[2] + sums[3];
    low += __shfl_xor_sync(kAllLanes, low, 1);
    high += __shfl_xor_sync(kAllLanes, high, 1);
    const int token = Lane() % 4 / 2;
    if (Lane() % 2 != 0 || token >= kTokens) return;
    to[token * kStreamTileRows + Lane() / 4] = low;
    to[token * kStreamTileRows + Lane() / 4 + 8] = high;
  }

 private:
  const StreamStage& layout_;
  const float4* const starts_;
  const std::byte* input_;  // of this lane's group: zeros in most lanes
  int input_step_ = 0;      // from 128 columns to the next
  const int values_;
  const int scales_;
};

// Of up to four or eight tokens. All lanes take the same group, lane 4 g + t the word t of rows g
// and g + 8 and of token g's input; it gets the results of tokens 2 t and 2 t + 1. Of four tokens,
// the upper lanes repeat what the lower ones do.
template <WeightLayout kLayout, int kTokens>
class TokenLanes {
 public:
  static_assert(kTokens == 4 || kTokens == 8);
  GEMMA_DEVICE TokenLanes(const StreamBlock& block, const InputView& in)
      : layout_(block.layout.stage),
        starts_(in.starts + Lane() % 4 % kPairs),
        input_(in.activations + Lane() / 4 % kTokens * in.activation_stride + Lane() % 4 * 16),
        values_(Lane() / 4 * layout_.value_row + Lane() % 4 * 4),
        scales_(layout_.scales + Lane() / 4 * layout_.scale_row) {}

  // Adds 128 columns: set `set` of the stage, `in_row` of the input.
  GEMMA_DEVICE void Add(const std::byte* stage, int set, int in_row, float (&sums)[4]) const {
    uint2 scales[2], mins[2] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const std::byte* const from = stage + scales_ + 8 * r * layout_.scale_row + set * 8;
      scales[r] = *reinterpret_cast<const uint2*>(from);
      if constexpr (HasMins(kLayout))
        mins[r] = *reinterpret_cast<const uint2*>(from + layout_.mins - layout_.scales);
    }
#pragma unroll
    for (int group = 0; group < 4; ++group)
      AddGroup(stage + values_ + set * 64 + group * 16, in_row * 4 + group, Pick(scales[0], group),
               Pick(scales[1], group), Pick(mins[0], group), Pick(mins[1], group), sums);
  }

  GEMMA_DEVICE static void Leave(const float (&sums)[4], float* to) {
    if (Lane() % 4 >= kPairs) return;
    to += Lane() % 4 * 2 * kStreamTileRows + Lane() / 4;
    to[0] = sums[0];
    to[kStreamTileRows] = sums[1];
    to[8] = sums[2];
    to[kStreamTileRows + 8] = sums[3];
  }

 private:
  static constexpr int kPairs = kTokens / 2;

  // The float16 of a group.
  GEMMA_DEVICE static float Pick(const uint2& four, int group) {
    const uint32_t pair = group < 2 ? four.x : four.y;
    return group % 2 == 0 ? HalfLowToFloat(pair) : HalfHighToFloat(pair);
  }

  GEMMA_DEVICE void AddGroup(const std::byte* values, int group, float low_scale, float high_scale,
                             float low_min, float high_min, float (&sums)[4]) const {
    const uint4 x = LoadFourWords(input_ + group * 64);
    const float2 start = *reinterpret_cast<const float2*>(starts_ + group * kPairs);
    Fragments a;
    SpreadNibbles(LoadWord(values), 0, a);
    SpreadNibbles(LoadWord(values + 8 * layout_.value_row), 1, a);
    float low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
    if constexpr (ZeroPoint(kLayout) > 0) {
      low[0] = low[2] = start.x;
      low[1] = low[3] = start.y;
    }
    MultiplyAccumulateHalf(low, a[0], x.x, x.y);
    MultiplyAccumulateHalf(high, a[1], x.z, x.w);
    sums[0] += low_scale * (low[0] + high[0]);
    sums[1] += low_scale * (low[1] + high[1]);
    sums[2] += high_scale * (low[2] + high[2]);
    sums[3] += high_scale * (low[3] + high[3]);
    if constexpr (HasMins(kLayout)) {
      sums[0] += low_min * start.x, sums[1] += low_min * start.y;
      sums[2] += high_min * start.x, sums[3] += high_min * start.y;
    }
  }

  const StreamStage& layout_;
  const float4* const starts_;
  const std::byte* const input_;
  const int values_;
  const int scales_;
};

// One of the warps: its own sets of 128 columns of every chunk.
template <WeightLayout kLayout, int kTokens>
class ChunkMultiplier {
 public:
  using Lanes =
      std::conditional_t<kTokens <= 2, GroupLanes<kLayout, kTokens>, TokenLanes<kLayout, kTokens>>;

  GEMMA_DEVICE ChunkMultiplier(const StreamBlock& block, const InputView& in)
      : b_(block), lanes_(block, in) {}

  GEMMA_DEVICE void Run() const {
    ChunkPlace place, slot;
    const int sets = b_.s.piece_columns / 128;
    float sums[4] = {0, 0, 0, 0};
#pragma unroll 1
    while (true) {
      WaitBarrier(b_.Full(place.index), place.parity);
      const int chunk = b_.ChunkOfStage(place.index);
      if (chunk == kStreamEnd) break;
      const std::byte* const stage = b_.Stage(place.index);
      const int tile = chunk / b_.s.pieces, piece = chunk - tile * b_.s.pieces;
#pragma unroll 1
      for (int set = WarpIndex(); set < sets; set += kStreamWarps)
        lanes_.Add(stage, set, piece * sets + set, sums);
      Arrive(b_.Empty(place.index));
      place.Advance(b_.s.stages);
      if (piece < b_.s.pieces - 1) continue;
      WaitBarrier(b_.SumsEmpty(slot.index), slot.parity ^ 1);
      Lanes::Leave(sums, b_.template Partials<kTokens>(slot.index, WarpIndex()));
      Publish(tile, slot);
      for (float& sum : sums) sum = 0;
    }
    // An end for each adding warp.
    for (int i = 0; i < StreamAdders(kTokens); ++i) {
      WaitBarrier(b_.SumsEmpty(slot.index), slot.parity ^ 1);
      Publish(kStreamEnd, slot);
    }
  }

 private:
  GEMMA_DEVICE void Publish(int tile, ChunkPlace& slot) const {
    if (threadIdx.x == 0) b_.TileOfSlot(slot.index) = tile;
    Arrive(b_.SumsFull(slot.index));
    slot.Advance(kStreamSlots);
  }

  const StreamBlock& b_;
  const Lanes lanes_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_MULTIPLY_H_
