// Which tiles and columns a block of the GEMM kernels multiplies, and where a tile lies (stream-K).
#ifndef CC_KERNELS_CUDA_GEMM_SCHEDULE_H_
#define CC_KERNELS_CUDA_GEMM_SCHEDULE_H_

#include "cc/kernels/cuda/gemm/params.h"
#include "cc/kernels/cuda/gemm/weights.h"

namespace gemma::cuda {

// Units [begin, end) of a tile.
struct GemmPiece {
  int tile;
  int begin;
  int end;
};

// What a block multiplies, one piece after the other.
class GemmPieces {
 public:
  GEMMA_DEVICE explicit GemmPieces(const GemmSchedule& s)
      : s_(s), block_(static_cast<int>(blockIdx.x)), tile_(block_) {
    if (block_ >= s.splits) return;
    const int rest = s.row_tiles * s.token_tiles - s.whole_tiles;
    const int64_t units = static_cast<int64_t>(rest) * s.units;
    next_ = units * block_ / s.splits;
    last_ = units * (block_ + 1) / s.splits;
  }

  GEMMA_DEVICE bool Next(GemmPiece& piece) {
    if (tile_ < s_.whole_tiles) {
      piece = {tile_, 0, s_.units};
      tile_ += s_.blocks;
      return true;
    }
    if (next_ >= last_) return false;
    const int begin = static_cast<int>(next_ % s_.units);
    const int64_t left = last_ - next_;
    const int count = left < s_.units - begin ? static_cast<int>(left) : s_.units - begin;
    piece = {s_.whole_tiles + static_cast<int>(next_ / s_.units), begin, begin + count};
    next_ += count;
    return true;
  }

  // The block whose run holds a unit of the tiles that are cut.
  GEMMA_DEVICE int64_t EndOfRun(int block) const {
    const int rest = s_.row_tiles * s_.token_tiles - s_.whole_tiles;
    return static_cast<int64_t>(rest) * s_.units * (block + 1) / s_.splits;
  }

 private:
  const GemmSchedule& s_;
  const int block_;
  int tile_;
  int64_t next_ = 0;
  int64_t last_ = 0;
};

// Where a tile lies. Bands of token tiles one after the other, in each all rows, in those the
// tokens: blocks that run at the same time share weights and activations in the L2 cache.
struct GemmPlace {
  int row_tile;
  int token_tile;
};
GEMMA_DEVICE GemmPlace PlaceOf(const GemmSchedule& s, int tile) {
  const int band = tile / (kGemmBand * s.row_tiles);
  const int left = s.token_tiles - band * kGemmBand;
  const int width = left < kGemmBand ? left : kGemmBand;
  const int in_band = tile - band * kGemmBand * s.row_tiles;
  return {in_band / width, band * kGemmBand + in_band % width};
}

template <int kRows>
GEMMA_DEVICE TileRows RowsOfTile(const GemmTileParams& p, int row_tile) {
  int part = 0;
  while (row_tile >= p.tile_end[part]) ++part;
  const int before = part == 0 ? 0 : p.tile_end[part - 1];
  const int rows = p.gemm.gated ? kRows / 2 : kRows;
  return {&p.gemm.parts[part], p.gemm.gated, (row_tile - before) * rows};
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_SCHEDULE_H_
