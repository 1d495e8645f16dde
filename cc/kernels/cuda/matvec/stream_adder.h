// The warps of the streamed product (stream.cu) that add up what the multiplying warps leave, and
// store outputs.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_ADDER_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_ADDER_H_

#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/matvec/copy.h"
#include "cc/kernels/cuda/matvec/epilogue.h"
#include "cc/kernels/cuda/matvec/multiply.h"
#include "cc/kernels/cuda/matvec/stream_block.h"

namespace gemma::cuda {

template <WeightLayout kLayout, int kTokens>
class TileAdder {
 public:
  GEMMA_DEVICE TileAdder(const StreamBlock& block, int index) : b_(block), index_(index) {}

  // Every tile of the block, or every second one.
  GEMMA_DEVICE void Run() const {
    ChunkPlace slot;
    slot.index = index_;
#pragma unroll 1
    while (true) {
      WaitBarrier(b_.SumsFull(slot.index), slot.parity);
      const int tile = b_.TileOfSlot(slot.index);
      if (tile == kStreamEnd) return;
      float sums[kShares];
#pragma unroll
      for (int i = 0; i < kShares; ++i) sums[i] = SumOfWarps(slot.index, i);
      Arrive(b_.SumsEmpty(slot.index));
      if (kTokens <= 2 || b_.s.slices == 1 || AddSlices(tile, sums)) {
#pragma unroll
        for (int i = 0; i < kShares; ++i) Store(tile, 2 * i + Lane() / kStreamTileRows, sums[i]);
      }
      for (int i = 0; i < StreamAdders(kTokens); ++i) slot.Advance(kStreamSlots);
    }
  }

 private:
  // Outputs of a lane: share i of lane 16 h + row is token 2 i + h of that row.
  static constexpr int kShares = StreamOutputs(kTokens) / kWarp;

  // Of one token, both halves of the warp have the sum.
  GEMMA_DEVICE float SumOfWarps(int slot, int share) const {
    constexpr int kEach = kTokens == 1 ? kStreamWarps / 2 : kStreamWarps;
    const int output = kTokens == 1 ? Lane() % kStreamTileRows : share * kWarp + Lane();
    const int first = kTokens == 1 ? Lane() / kStreamTileRows * kEach : 0;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kEach; ++w) sum += b_.template Partials<kTokens>(slot, first + w)[output];
    if constexpr (kTokens == 1) sum += __shfl_xor_sync(kAllLanes, sum, kStreamTileRows);
    return sum;
  }

  // Leaves the tile's sums over the block's slice of the columns for whoever comes last, who adds
  // all slices in their order; true for that one.
  GEMMA_DEVICE bool AddSlices(int tile, float (&sums)[kShares]) const {
    constexpr int kOutputs = StreamOutputs(kTokens);
    const int slices = b_.s.slices;
    float* const all = b_.s.slice_sums + static_cast<int64_t>(tile) * slices * kOutputs + Lane();
#pragma unroll
    for (int i = 0; i < kShares; ++i) all[b_.slice * kOutputs + i * kWarp] = sums[i];
    __threadfence();
    __syncwarp();
    uint32_t before = 0;
    if (Lane() == 0) before = atomicAdd(&b_.s.slice_counters[tile], 1u);
    before = __shfl_sync(kAllLanes, before, 0);
    if (before + 1 < static_cast<uint32_t>(slices)) return false;
    __threadfence();
    for (float& sum : sums) sum = 0;
#pragma unroll 4
    for (int s = 0; s < slices; ++s) {
#pragma unroll
      for (int i = 0; i < kShares; ++i) sums[i] += LoadFromL2(all + s * kOutputs + i * kWarp);
    }
    if (Lane() == 0) b_.s.slice_counters[tile] = 0;
    return true;
  }

  GEMMA_DEVICE void Store(int tile, int token, float sum) const {
    const int r = Lane() % kStreamTileRows;
    const bool paired = kTokens >= 2 && IsPair(b_.p.in_number);
    const bool mine = token < (kTokens == 1 ? 1 : b_.p.tokens) && (!paired || token % 2 == 0);
    int tile_in_part;
    const MatvecPart& part = PartOf(b_.p, tile, tile_in_part);
    const int row = tile_in_part * part.tile_step + (r < 8 ? r : r - 8 + part.second_row);
    sum *= ResultUnit(kLayout);
    if (paired) {
      sum += kPairUnit * __shfl_xor_sync(kAllLanes, sum, kStreamTileRows);
      token /= 2;
    }
    if (b_.p.gated) {
      const float up = __shfl_xor_sync(kAllLanes, sum, 8);
      if (mine && r < 8) StoreOutput(b_.p, part, token, row, GeluTanh(sum) * up);
    } else if (mine) {
      StoreOutput(b_.p, part, token, row, Capped(b_.p, sum));
    }
  }

  const StreamBlock& b_;
  const int index_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_ADDER_H_
