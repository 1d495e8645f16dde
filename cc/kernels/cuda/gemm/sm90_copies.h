// Copies of whole tiles of weights by Hopper's GEMM, with few instructions.
#ifndef CC_KERNELS_CUDA_GEMM_SM90_COPIES_H_
#define CC_KERNELS_CUDA_GEMM_SM90_COPIES_H_

#include "cc/kernels/cuda/gemm/weights.h"

namespace gemma::cuda {

// As CopyValues and CopyAllScales where nothing lies outside of the matrix, with few instructions:
// a lane keeps its addresses in the four blocks of 64 rows, and rows follow at constant distances.
template <WeightLayout kLayout>
class WholeValues {
 public:
  static constexpr int kRowsAtOnce = kGemmValueWarps * 4;

  GEMMA_DEVICE WholeValues(const TileRows& tile, int warp) : row_(warp * 4 + Lane() / 8) {
    row_bytes_ = tile.part->first.columns / 32 * ValueBytes(kLayout);
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      values_[b] = tile.MatrixOf(b * 64).values +
                   static_cast<int64_t>(tile.RowOf(b * 64) + row_) * row_bytes_ + Lane() % 8 * 16;
    }
  }

  GEMMA_DEVICE void Copy(int unit, std::byte* stage) const {
    std::byte* const to = stage + row_ * kValueRow + Lane() % 8 * 16;
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const std::byte* from = values_[b] + unit * kValuePiece;
#pragma unroll
      for (int i = 0; i < 64 / kRowsAtOnce; ++i) {
        CopyAsync<16>(to + (b * 64 + i * kRowsAtOnce) * kValueRow, from);
        from += kRowsAtOnce * row_bytes_;
      }
    }
  }

 private:
  const int row_;
  int row_bytes_;
  const std::byte* values_[4];
};

template <WeightLayout kLayout>
class WholeScales {
 public:
  static constexpr GemmStage kStage = GemmStageOf(kLayout);
  GEMMA_DEVICE explicit WholeScales(const TileRows& tile)
      : absent_(tile.part->first.float_scales), units_(tile.part->first.columns / kStage.columns) {
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const Matrix& m = tile.MatrixOf(b * 64);
      const int64_t unit = static_cast<int64_t>(tile.RowOf(b * 64) + Lane()) * units_;
      scales_[b] = m.scales + unit * WholeBytes<kLayout>::kScales;
      extra_[b] = m.extra + unit * WholeBytes<kLayout>::kExtra;
      if constexpr (HasMins(kLayout)) others_[b] = m.mins + unit * WholeBytes<kLayout>::kOthers;
      if constexpr (HasPackedScales(kLayout))
        others_[b] = m.blocks + unit * WholeBytes<kLayout>::kOthers;
      if constexpr (HasInt8Scales(kLayout)) {
        others_[b] = m.blocks;
        first_unit_[b] = unit;
      }
    }
  }

  GEMMA_DEVICE void Copy(int unit, std::byte* stage) const {
    if (IsFloat(kLayout) || absent_) return;
#pragma unroll
    for (int b = 0; b < 4; ++b) {
#pragma unroll
      for (int i = 0; i < 2; ++i) CopyRow(b, i * kWarp * units_ + unit, b * 64 + i * kWarp, stage);
    }
  }

 private:
  // at: units from the lane's first row in the block on; r: row of the tile, less the lane
  GEMMA_DEVICE void CopyRow(int b, int at, int r, std::byte* stage) const {
    CopyWholeScales<kLayout, kGemmRows>(
        {scales_[b] + at * WholeBytes<kLayout>::kScales,
         extra_[b] + at * WholeBytes<kLayout>::kExtra,
         HasInt8Scales(kLayout) ? others_[b] + (first_unit_[b] + at) / 2 * 4
                                : others_[b] + at * WholeBytes<kLayout>::kOthers},
        r + Lane(), stage);
  }

  const bool absent_;
  const int units_;
  const std::byte* scales_[4];
  const std::byte* extra_[4];
  const std::byte* others_[4];
  int64_t first_unit_[4];
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_SM90_COPIES_H_
