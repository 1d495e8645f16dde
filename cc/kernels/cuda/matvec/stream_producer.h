// The warp of the streamed product (stream.cu) that claims tiles and has them copied, chunk by
// chunk, into the ring.
#ifndef CC_KERNELS_CUDA_MATVEC_STREAM_PRODUCER_H_
#define CC_KERNELS_CUDA_MATVEC_STREAM_PRODUCER_H_

#include "cc/kernels/cuda/device/prefetch_share.h"
#include "cc/kernels/cuda/matvec/copy.h"
#include "cc/kernels/cuda/matvec/stream_block.h"

namespace gemma::cuda {

template <WeightLayout kLayout>
class ChunkProducer {
 public:
  GEMMA_DEVICE explicit ChunkProducer(const StreamBlock& block) : b_(block) {}

  GEMMA_DEVICE void InitBarriers() const {
    if (Lane() != 0) return;
    for (int i = 0; i < b_.s.stages; ++i) {
      InitBarrier(b_.Full(i), 1);
      InitBarrier(b_.Empty(i), kStreamWarps * kWarp);
    }
    for (int i = 0; i < kStreamSlots; ++i) {
      InitBarrier(b_.SumsFull(i), kStreamWarps * kWarp);
      InitBarrier(b_.SumsEmpty(i), kWarp);  // of the one that adds
    }
    FenceBarrierInit();
  }

  // The block's own tiles, those that it can claim, what comes after this kernel, and an end.
  GEMMA_DEVICE void Run() {
    for (int i = 0; i < OwnTiles(); ++i) {
      const int tile = b_.rank + i * b_.blocks;
      if (tile < b_.s.tiles) CopyTile<true>(tile);
    }
    for (int tile = Claim(); tile < b_.s.tiles; tile = Claim()) CopyTile<false>(tile);
    PrefetchShare(b_.s.prefetch, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
    AwaitStage();
    if (Lane() == 0) {
      b_.TileOfStage(place_.index) = kStreamEnd;
      Arrive(b_.Full(place_.index));
    }
  }

 private:
  // As many as fill the ring.
  GEMMA_DEVICE int OwnTiles() const { return (b_.s.stages + b_.s.pieces - 1) / b_.s.pieces; }

  // The next tile that no block of the slice has. Every block claims until there is none left, so
  // the last claim of all is known, and it puts the counter back.
  GEMMA_DEVICE int Claim() const {
    const int first = OwnTiles() * b_.blocks;
    const int shared = b_.s.tiles > first ? b_.s.tiles - first : 0;
    uint32_t* const claims = b_.s.claims + b_.slice;
    int claim = 0;
    if (Lane() == 0) {
      claim = static_cast<int>(atomicAdd(claims, 1u));
      if (claim == shared + b_.blocks - 1) *claims = 0;
    }
    return first + __shfl_sync(kAllLanes, claim, 0);
  }

  GEMMA_DEVICE void AwaitStage() const { WaitBarrier(b_.Empty(place_.index), place_.parity ^ 1); }

  // kOneByOne: while the block may still wait for its input, whose way is long behind everything
  // that has been asked for, nothing is asked for before what was asked for last has come.
  template <bool kOneByOne>
  GEMMA_DEVICE void CopyTile(int tile) {
    for (int piece = 0; piece < b_.s.pieces; ++piece) {
      AwaitStage();
      if (kOneByOne && begun_) WaitBarrier(b_.Full(last_.index), last_.parity);
      CopyChunk(tile, piece, place_.index);
      begun_ = true;
      last_ = place_;
      place_.Advance(b_.s.stages);
    }
  }

  // One lane starts all copies of a chunk: lanes would take turns at it, and more slowly.
  GEMMA_DEVICE void CopyChunk(int tile, int piece, int stage) const {
    __syncwarp();
    if (!IsElected()) return;
    const StreamStage& layout = b_.layout.stage;
    Barrier& full = b_.Full(stage);
    b_.TileOfStage(stage) = tile;
    const int scale_bytes = layout.scale_bytes * (HasMins(kLayout) ? 2 : 1);
    ArriveExpecting(full, kStreamTileRows * (layout.value_bytes + scale_bytes));
    int tile_in_part;
    const MatvecPart& part = PartOf(b_.p, tile, tile_in_part);
    const int64_t first = static_cast<int64_t>(tile_in_part) * part.tile_step;
    const int64_t second = first + part.second_row;
    const int value_row = b_.p.columns / 2, scale_row = b_.p.columns / 16;
    const int piece_of_row = b_.slice * b_.s.pieces + piece;
    std::byte* const to = b_.Stage(stage);
    auto copy = [&](const std::byte* Matrix::* plane, int row_bytes, int piece_bytes, int to_row,
                    std::byte* to_plane) {
      const int64_t offset = static_cast<int64_t>(piece_of_row) * piece_bytes;
      CopyRows(part.first.*plane + first * row_bytes + offset, row_bytes, piece_bytes, to_row,
               to_plane, full);
      CopyRows(part.second.*plane + second * row_bytes + offset, row_bytes, piece_bytes, to_row,
               to_plane + 8 * to_row, full);
    };
    copy(&Matrix::values, value_row, layout.value_bytes, layout.value_row, to);
    copy(&Matrix::scales, scale_row, layout.scale_bytes, layout.scale_row, to + layout.scales);
    if constexpr (HasMins(kLayout))
      copy(&Matrix::mins, scale_row, layout.scale_bytes, layout.scale_row, to + layout.mins);
  }

  // Eight rows of a piece; whole rows follow each other on both sides.
  GEMMA_DEVICE static void CopyRows(const std::byte* from, int row_bytes, int piece_bytes,
                                    int to_row, std::byte* to, Barrier& full) {
    if (row_bytes == piece_bytes && row_bytes == to_row) {
      CopyBulk(to, from, 8 * row_bytes, full);
      return;
    }
#pragma unroll
    for (int r = 0; r < 8; ++r) CopyBulk(to + r * to_row, from + r * row_bytes, piece_bytes, full);
  }

  const StreamBlock& b_;
  ChunkPlace place_;
  ChunkPlace last_;
  bool begun_ = false;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_STREAM_PRODUCER_H_
