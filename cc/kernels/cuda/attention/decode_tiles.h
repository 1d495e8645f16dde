// How the keys and values of a kv head come to a block of decode attention: which tiles are its
// own, and the ring in shared memory that they pass through.
#ifndef CC_KERNELS_CUDA_ATTENTION_DECODE_TILES_H_
#define CC_KERNELS_CUDA_ATTENTION_DECODE_TILES_H_

#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/attention/rope.h"
#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

inline constexpr int kDecodeThreads = kAttentionWarps * kWarp;

// The tiles of a block. Tile i holds kKeyTile positions from first + i * kKeyTile on: a window of
// whole tiles takes no more than it must.
struct TileRange {
  int first = 0;  // the first visible position
  int begin = 0;
  int end = 0;
  int active_splits = 1;

  GEMMA_DEVICE int PositionOf(int tile) const { return first + tile * kKeyTile; }
};

GEMMA_DEVICE TileRange TilesOfSplit(const DeviceCache& cache, int start, int tokens, int splits,
                                    int split) {
  TileRange range;
  range.first = FirstVisible(cache, start);
  const int tiles = (start + tokens - range.first + kKeyTile - 1) / kKeyTile;
  int each = (tiles + splits - 1) / splits;
  if (each < kMinTilesPerSplit) each = kMinTilesPerSplit;
  range.active_splits = (tiles + each - 1) / each;
  range.begin = split * each;
  range.end = range.begin + each < tiles ? range.begin + each : tiles;
  return range;
}

// A position's rows of keys and values, in the cache and in a stage of the ring.
template <int kHeadDim, int kRotated, bool kPaired>
struct CacheRows {
  static constexpr bool kShared = kRotated > 0;
  static constexpr int kScoreColumns = kHeadDim + kRotated;
  static constexpr int kKeyColumns = (kPaired ? 2 : 1) * kScoreColumns;
  static constexpr int kKeyRow = kKeyColumns * 2;  // bytes
  static constexpr int kValueRow = kShared ? kKeyRow : kHeadDim * 2;
  static constexpr int kValueOffset = kShared ? 0 : kKeyTile * kKeyRow;  // of the values in a stage

  // Chunks of 16 bytes are permuted so that ldmatrix finds those of eight rows in different banks.
  template <int kRowBytes>
  GEMMA_DEVICE static int Swizzled(int row, int chunk) {
    return (kRowBytes % 128 == 0 ? chunk ^ (row & 7) : chunk) * 16;
  }
};

template <typename Rows>
class TileRing {
 public:
  GEMMA_DEVICE TileRing(const AttentionParams& p, const DecodeShared& layout, std::byte* shared,
                        int head, int start, const TileRange& tiles)
      : cache_(p.prepare.cache),
        stages_(p.ring_stages),
        stage_bytes_(layout.stage_bytes),
        shared_(shared),
        head_(head),
        start_(start),
        tiles_(tiles) {}

  // The first tiles, as many as the ring has stages but one. They hold positions of earlier steps:
  // no kernel of this step writes them.
  GEMMA_DEVICE void Begin() {
    for (int i = 0; i < stages_ - 1; ++i) Copy(tiles_.begin + i, i);
  }

  // The next tile, which is there when this returns for all threads; the one after the last that is
  // on its way starts its own.
  GEMMA_DEVICE std::byte* Next(int tile) {
    WaitForStage();
    __syncthreads();
    const int ahead = stage_ == 0 ? stages_ - 1 : stage_ - 1;
    Copy(tile + stages_ - 1, ahead);
    std::byte* const data = shared_ + stage_ * stage_bytes_;
    stage_ = stage_ + 1 == stages_ ? 0 : stage_ + 1;
    return data;
  }

  // Whether Next(tile) starts the last copy of all, or the ring held all tiles before.
  GEMMA_DEVICE bool AllAreOnTheirWay(int tile) const { return tile + stages_ >= tiles_.end; }

 private:
  GEMMA_DEVICE void WaitForStage() const {
    switch (stages_) {
      case 2:
        return WaitCopies<0>();
      case 3:
        return WaitCopies<1>();
      case 4:
        return WaitCopies<2>();
      default:
        return WaitCopies<3>();
    }
  }

  // Rows that hold no older position become zeros. Commits a group even past the last tile.
  GEMMA_DEVICE void Copy(int tile, int stage) const {
    if (tile < tiles_.end) {
      std::byte* const to = shared_ + stage * stage_bytes_;
      if constexpr (Rows::kShared) {
        CopyRows<Rows::kKeyRow>(cache_.values, tile, to);
      } else {
        CopyRows<Rows::kKeyRow>(cache_.keys, tile, to);
        CopyRows<Rows::kValueRow>(cache_.values, tile, to + Rows::kValueOffset);
      }
    }
    CommitCopies();
  }

  template <int kRowBytes>
  GEMMA_DEVICE void CopyRows(const uint16_t* plane, int tile, std::byte* to) const {
    constexpr int kChunks = kRowBytes / 16;
    // So that each thread needs few rows' addresses.
    constexpr int kThreadsARow = kChunks % 8 == 0 ? 8 : 2;
    constexpr int kRowsAtOnce = kDecodeThreads / kThreadsARow;
    for (int row = static_cast<int>(threadIdx.x) / kThreadsARow; row < kKeyTile;
         row += kRowsAtOnce) {
      const int position = tiles_.PositionOf(tile) + row;
      const bool old = position < start_;
      const int64_t slot = SlotOf(cache_, head_, old ? position : tiles_.first);
      const std::byte* from = reinterpret_cast<const std::byte*>(plane) + slot * kRowBytes;
#pragma unroll
      for (int i = 0; i < kChunks / kThreadsARow; ++i) {
        const int chunk = i * kThreadsARow + static_cast<int>(threadIdx.x) % kThreadsARow;
        CopyAsync<16>(to + row * kRowBytes + Rows::template Swizzled<kRowBytes>(row, chunk),
                      from + chunk * 16, old ? 16 : 0);
      }
    }
  }

  const DeviceCache& cache_;
  const int stages_;
  const int stage_bytes_;
  std::byte* const shared_;
  const int head_;
  const int start_;
  const TileRange tiles_;
  int stage_ = 0;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_DECODE_TILES_H_
