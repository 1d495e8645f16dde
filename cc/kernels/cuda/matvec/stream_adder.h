// The warps of the streamed product (stream.cu) that add up what the multiplying warps leave, and
// store outputs.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_ADDER_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_ADDER_H_

#include <type_traits>

#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/matvec/copy.h"
#include "cc/kernels/cuda/matvec/epilogue.h"
#include "cc/kernels/cuda/matvec/multiply.h"
#include "cc/kernels/cuda/matvec/stream_block.h"

namespace gemma::cuda {

template <WeightLayout kLayout, int kTokens, bool kSliced>
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
      float sums[kShares] = {};
      AddWarps(slot.index, sums);
      Arrive(b_.SumsEmpty(slot.index));
      if (!kSliced || AddSlices(tile, sums)) Store(tile, sums);
      for (int i = 0; i < StreamAdders(kSliced); ++i) slot.Advance(kStreamSlots);
    }
  }

 private:
  static constexpr int kOutputs = StreamOutputs(kTokens);
  // Neighbouring outputs of a lane: rows First() to First() + kShares - 1 of token Token().
  static constexpr int kShares = kOutputs / kWarp;
  GEMMA_DEVICE static int Token() { return Lane() * kShares / kStreamTileRows; }
  GEMMA_DEVICE static int First() { return Lane() * kShares % kStreamTileRows; }

  // Adds what lies at `from`, in one load.
  template <bool kFromL2>
  GEMMA_DEVICE static void AddShares(const float* from, float (&sums)[kShares]) {
    using Shares =
        std::conditional_t<kShares == 4, float4, std::conditional_t<kShares == 2, float2, float>>;
    const Shares* const address = reinterpret_cast<const Shares*>(from);
    const Shares shares = kFromL2 ? LoadFromL2(address) : *address;
#pragma unroll
    for (int i = 0; i < kShares; ++i) sums[i] += reinterpret_cast<const float*>(&shares)[i];
  }

  // Of one token, each half of the warp adds half of the warps' sums.
  GEMMA_DEVICE void AddWarps(int slot, float (&sums)[kShares]) const {
    constexpr int kEach = kTokens == 1 ? kStreamWarps / 2 : kStreamWarps;
    const int output = kTokens == 1 ? Lane() % kStreamTileRows : Lane() * kShares;
    const int first = kTokens == 1 ? Lane() / kStreamTileRows * kEach : 0;
#pragma unroll
    for (int w = 0; w < kEach; ++w)
      AddShares<false>(b_.template Partials<kTokens>(slot, first + w) + output, sums);
    if constexpr (kTokens == 1) sums[0] += __shfl_xor_sync(kAllLanes, sums[0], kStreamTileRows);
  }

  // Leaves the tile's sums over the block's slice of the columns for whoever comes last, who adds
  // all slices in their order; true for that one.
  GEMMA_DEVICE bool AddSlices(int tile, float (&sums)[kShares]) const {
    const int slices = b_.s.slices;
    float* const all =
        b_.s.slice_sums + static_cast<int64_t>(tile) * slices * kOutputs + Lane() * kShares;
#pragma unroll
    for (int i = 0; i < kShares; ++i) all[b_.slice * kOutputs + i] = sums[i];
    __threadfence();
    __syncwarp();
    uint32_t before = 0;
    if (Lane() == 0) before = atomicAdd(&b_.s.slice_counters[tile], 1u);
    before = __shfl_sync(kAllLanes, before, 0);
    if (before + 1 < static_cast<uint32_t>(slices)) return false;
    __threadfence();
    for (float& sum : sums) sum = 0;
#pragma unroll 4
    for (int s = 0; s < slices; ++s) AddShares<true>(all + s * kOutputs, sums);
    if (Lane() == 0) b_.s.slice_counters[tile] = 0;
    return true;
  }

  GEMMA_DEVICE void Store(int tile, float (&sums)[kShares]) const {
    const bool paired = kTokens >= 2 && IsPair(b_.p.in_number);
    const int slot = Token(), token = paired ? slot / 2 : slot;
    const bool mine = slot < (kTokens == 1 ? 1 : b_.p.tokens) && (!paired || slot % 2 == 0);
    int tile_in_part;
    const MatvecPart& part = PartOf(b_.p, tile, tile_in_part);
    const int row =
        tile_in_part * part.tile_step + (First() < 8 ? First() : First() - 8 + part.second_row);
#pragma unroll
    for (int i = 0; i < kShares; ++i) {
      float sum = sums[i] * ResultUnit(kLayout);
      if (paired) sum += kPairUnit * __shfl_xor_sync(kAllLanes, sum, kStreamTileRows / kShares);
      if (b_.p.gated) {
        const float up = __shfl_xor_sync(kAllLanes, sum, 8 / kShares);
        if (mine && First() < 8) StoreOutput(b_.p, part, token, row + i, GeluTanh(sum) * up);
      } else if (mine) {
        StoreOutput(b_.p, part, token, row + i, Capped(b_.p, sum));
      }
    }
  }

  const StreamBlock& b_;
  const int index_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_ADDER_H_
