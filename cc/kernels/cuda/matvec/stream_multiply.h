// The warps of the streamed product (stream.cu) that multiply.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_MULTIPLY_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_MULTIPLY_H_

#include <type_traits>

#include "cc/kernels/cuda/matvec/input.h"
#include "cc/kernels/cuda/matvec/multiply.h"
#include "cc/kernels/cuda/matvec/stream_block.h"
#include "cc/kernels/cuda/matvec/stream_tokens.h"

namespace gemma::cuda {

// Of one or two tokens. Lane 4 g + t takes group t of four, of rows g and g + 8; multiply.h
// (GroupMultiplier) says how groups and tokens share the columns of the tensor core's result.
template <WeightLayout kLayout, int kTokens>
class GroupLanes {
 public:
  GEMMA_DEVICE GroupLanes(const StreamBlock& block, const InputView& in)
      : layout_(block.layout.stage),
        sets_(block.s.piece_columns / 128),
        starts_(in.starts + Lane() % 4),
        input_(block.shared + block.layout.zeros),
        values_(Lane() / 4 * layout_.value_row + Lane() % 4 * 16),
        scales_(layout_.scales + Lane() / 4 * layout_.scale_row + Lane() % 2 * 4) {
    const int token = Lane() / 16;
    if (Lane() / 4 % 4 != Lane() % 4 || token >= kTokens) return;
    input_ = in.activations + token * in.activation_stride + Lane() % 4 * 64;
    input_step_ = 256;
  }

  // Adds the warp's columns of piece `piece` of a slice.
  GEMMA_DEVICE void AddChunk(const std::byte* stage, int piece, float (&sums)[4]) const {
#pragma unroll 1
    for (int set = WarpIndex(); set < sets_; set += kStreamWarps)
      Add(stage, set, piece * sets_ + set, sums);
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

  const StreamStage& layout_;
  const int sets_;  // of 128 columns, in a piece
  const float4* const starts_;
  const std::byte* input_;  // of this lane's group: zeros in most lanes
  int input_step_ = 0;      // from 128 columns to the next
  const int values_;
  const int scales_;
};

// One of the warps: its own sets of 128 columns of every chunk.
template <WeightLayout kLayout, int kTokens, bool kSliced>
class ChunkMultiplier {
 public:
  using Lanes =
      std::conditional_t<kTokens <= 2, GroupLanes<kLayout, kTokens>, TokenLanes<kLayout, kTokens>>;

  GEMMA_DEVICE ChunkMultiplier(const StreamBlock& block, const Lanes& lanes)
      : b_(block), lanes_(lanes) {}

  GEMMA_DEVICE void Run() const {
    ChunkPlace place, slot;
    int piece = 0;  // the pieces of a tile follow each other: nothing is divided
    float sums[4] = {0, 0, 0, 0};
#pragma unroll 1
    while (true) {
      WaitBarrier(b_.Full(place.index), place.parity);
      const int tile = b_.TileOfStage(place.index);
      if (tile == kStreamEnd) break;
      const std::byte* const stage = b_.Stage(place.index);
      lanes_.AddChunk(stage, piece, sums);
      Arrive(b_.Empty(place.index));
      place.Advance(b_.s.stages);
      if (++piece < b_.s.pieces) continue;
      piece = 0;
      WaitBarrier(b_.SumsEmpty(slot.index), slot.parity ^ 1);
      Lanes::Leave(sums, b_.template Partials<kTokens>(slot.index, WarpIndex()));
      Publish(tile, slot);
      for (float& sum : sums) sum = 0;
    }
    // An end for each adding warp.
    for (int i = 0; i < StreamAdders(kSliced); ++i) {
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
  const Lanes& lanes_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_MULTIPLY_H_
