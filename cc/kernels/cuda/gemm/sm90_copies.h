// Copies of whole tiles of weights by Hopper's GEMM, with few instructions.
#ifndef CC_KERNELS_CUDA_GEMM_SM90_COPIES_H_
#define CC_KERNELS_CUDA_GEMM_SM90_COPIES_H_

#include "cc/kernels/cuda/gemm/weights.h"

namespace gemma::cuda {

// True when the two classes below can copy all units of the tile.
template <WeightLayout kLayout>
GEMMA_DEVICE bool IsWhole(const TileRows& tile) {
  const Matrix& m = tile.part->first;
  const int rows = tile.gated ? kGemmRows / 2 : kGemmRows;
  if (tile.first_row + rows > m.rows || m.columns % GemmStageOf(kLayout).columns != 0) return false;
  if constexpr (!HasGroups(kLayout)) return true;
  return m.float_scales || (m.group == 32 && m.columns % 256 == 0);
}

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
  // Bytes of a unit.
  static constexpr bool kEight = HasSignedScales(kLayout) || kLayout == WeightLayout::kInt8;
  static constexpr int kScaleBytes = HasPackedScales(kLayout) ? 12 : kEight ? 8 : 16;
  static constexpr int kExtraBytes = HasBitPlane(kLayout) ? 32 : HasPairPlane(kLayout) ? 64 : 0;

  GEMMA_DEVICE explicit WholeScales(const TileRows& tile)
      : absent_(tile.part->first.float_scales), units_(tile.part->first.columns / kStage.columns) {
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const Matrix& m = tile.MatrixOf(b * 64);
      const int64_t unit = static_cast<int64_t>(tile.RowOf(b * 64) + Lane()) * units_;
      scales_[b] = m.scales + unit * kScaleBytes;
      extra_[b] = m.extra + unit * kExtraBytes;
      if constexpr (HasMins(kLayout)) others_[b] = m.mins + unit * kScaleBytes;
      if constexpr (HasPackedScales(kLayout)) others_[b] = m.blocks + unit * 4;
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
    const int row = r + Lane();
    std::byte* const scales = stage + kStage.scales + row * 16;
    if constexpr (HasPackedScales(kLayout)) {
#pragma unroll
      for (int k = 0; k < 3; ++k) CopyAsync<4>(scales + 4 * k, scales_[b] + at * 12 + 4 * k);
      CopyAsync<4>(scales + 12, others_[b] + at * 4);
    } else {
      CopyAsync<kScaleBytes>(scales, scales_[b] + at * kScaleBytes);
    }
    if constexpr (HasMins(kLayout)) {
      CopyAsync<kScaleBytes>(stage + kStage.mins + row * 16, others_[b] + at * kScaleBytes);
    }
    if constexpr (HasInt8Scales(kLayout)) {
      CopyAsync<4>(stage + kStage.blocks + row * 4, others_[b] + (first_unit_[b] + at) / 2 * 4);
    }
#pragma unroll
    for (int k = 0; k < kExtraBytes; k += 16) {
      CopyAsync<16>(stage + kStage.extra + row * kStage.extra_row + k,
                    extra_[b] + at * kExtraBytes + k);
    }
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
