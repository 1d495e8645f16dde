// From the warps' sums of a matrix-vector product to outputs.
#ifndef CC_KERNELS_CUDA_MATVEC_EPILOGUE_H_
#define CC_KERNELS_CUDA_MATVEC_EPILOGUE_H_

#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/barrier.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/matvec/copy.h"
#include "cc/kernels/cuda/matvec/params.h"

namespace gemma::cuda {

struct UnitRange {
  int begin;
  int end;
};

// The units of this block: an even share, or,
// with whole tiles, those of an even share of the tiles.
GEMMA_DEVICE UnitRange RangeOfBlock(const MatvecParams& p) {
  const int64_t step = p.whole_tiles ? p.units_per_tile : 1;
  const int64_t pieces = p.total_units / step;
  const int64_t block = blockIdx.x, blocks = gridDim.x;
  return {static_cast<int>(pieces * block / blocks * step),
          static_cast<int>(pieces * (block + 1) / blocks * step)};
}

GEMMA_DEVICE void StoreOutput(const MatvecParams& p, const MatvecPart& part, int token, int row,
                              float value) {
  const int64_t stride = p.out_stride == 0 ? part.first.rows : p.out_stride;
  const int64_t at = token * stride + row;
  if (IsHalf(p.out_number)) {
    __half* const out =
        static_cast<__half*>(part.out) + (IsPair(p.in_number) ? at + token * stride : at);
    out[0] = __float2half_rn(value * kActivationScale);
    if (IsPair(p.in_number))
      out[stride] = __float2half_rn(HalfRest(value * kActivationScale) * kPairScale);
    return;
  }
  float* out = static_cast<float*>(part.out);
  out[at] = p.accumulate ? out[at] + value : value;
}

GEMMA_DEVICE float Capped(const MatvecParams& p, float value) {
  return p.softcap > 0 ? p.softcap * tanhf(value / p.softcap) : value;
}

// The sums of a block, tile by tile. The multiplying warps leave theirs in a few slots that are
// used in turn, and one more warp, which does nothing else, adds them up:
//   partials [slot][warp][token][32 rows], full [slot], empty [slot].
template <int kTokens, typename Multiplier>
class TileSums {
 public:
  static constexpr int kSlots = PartialSlots(kTokens);
  static constexpr int kOutputs = kTileRows * kTokens;

  GEMMA_DEVICE TileSums(const MatvecParams& p, std::byte* shared, const MatvecShared& layout,
                        const UnitRange& range)
      : p_(p),
        range_(range),
        partials_(reinterpret_cast<float*>(shared + layout.partials)),
        full_(reinterpret_cast<Barrier*>(shared + layout.barriers)),
        empty_(full_ + kSlots),
        first_tile_(range.begin / p.units_per_tile),
        end_tile_((range.end + p.units_per_tile - 1) / p.units_per_tile) {}

  // The caller synchronizes the block afterwards.
  GEMMA_DEVICE void Prepare() const {
    if (threadIdx.x != 0) return;
    // A loop, not predicates: compute-sanitizer's racecheck sees a write where lanes are predicated off.
#pragma unroll 1
    for (int slot = 0; slot < kSlots; ++slot) {
      InitBarrier(full_[slot], kMatvecWarps * kWarp);
      InitBarrier(empty_[slot], kWarp);
    }
  }

  GEMMA_DEVICE int first_tile() const { return first_tile_; }
  GEMMA_DEVICE int end_tile() const { return end_tile_; }

  // A multiplying warp leaves its sums of a tile, each tile of the block in turn, and clears them.
  GEMMA_DEVICE void Leave(int tile, float (&sums)[2][4]) const {
    const int slot = Slot(tile), use = Use(tile);
    if (use > 0) WaitBarrier(empty_[slot], (use - 1) & 1);
    float* const to = Partials(slot, WarpIndex());
    Multiplier::Leave(sums[0], to, kTileRows);
    Multiplier::Leave(sums[1], to + 8, kTileRows);
    Arrive(full_[slot]);
#pragma unroll
    for (int i = 0; i < 8; ++i) sums[i / 4][i % 4] = 0;
  }

  // The adding warp's part.
  GEMMA_DEVICE void FinishAll() const {
#pragma unroll 1
    for (int tile = first_tile_; tile < end_tile_; ++tile) {
      const int slot = Slot(tile);
      WaitBarrier(full_[slot], Use(tile) & 1);
      Finish(tile, slot);
      Arrive(empty_[slot]);
    }
  }

 private:
  GEMMA_DEVICE int Slot(int tile) const { return (tile - first_tile_) % kSlots; }
  GEMMA_DEVICE int Use(int tile) const { return (tile - first_tile_) / kSlots; }
  GEMMA_DEVICE float* Partials(int slot, int warp) const {
    return partials_ + (slot * kMatvecWarps + warp) * kOutputs;
  }

  GEMMA_DEVICE void Finish(int tile, int slot) const {
    const bool begun_here = tile * p_.units_per_tile >= range_.begin;
    const bool ended_here = (tile + 1) * p_.units_per_tile <= range_.end;
    if (begun_here && !ended_here) AwaitBoundary();
    float nearest = 0;  // of a pair's two results
#pragma unroll
    for (int start = 0; start < kOutputs; start += kWarp) {
      const int index = start + Lane();
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kMatvecWarps; ++w) sum += Partials(slot, w)[index];
      if (!begun_here) {
        p_.boundary_sums[blockIdx.x * kBoundaryOutputs + index] = sum;
        continue;
      }
      if (!ended_here)
        sum += LoadFromL2(&p_.boundary_sums[(blockIdx.x + 1) * kBoundaryOutputs + index]);
      Store(tile, index, sum, nearest);
    }
    if (!begun_here) PublishBoundary();
    if (begun_here && !ended_here) ClearBoundary();
  }

  static constexpr int kBoundaryOutputs = kTileRows * kMaxDecodeTokens;

  GEMMA_DEVICE void PublishBoundary() const {
    __threadfence();
    __syncwarp();
    if (Lane() == 0) StoreRelease(&p_.boundary_flags[blockIdx.x], 1);
  }
  GEMMA_DEVICE void AwaitBoundary() const {
    if (Lane() == 0) {
      Spin spin;
      while (LoadAcquire(&p_.boundary_flags[blockIdx.x + 1]) == 0) spin.Pause();
    }
    __syncwarp();
  }
  GEMMA_DEVICE void ClearBoundary() const {
    __syncwarp();
    if (Lane() == 0) StoreRelease(&p_.boundary_flags[blockIdx.x + 1], 0);
  }

  // The complete sum of output `index` = token * 32 + row of the tile. All lanes of the warp call
  // this together, for all rows of the input in turn: `nearest` is what the first one of a pair
  // leaves for the second one.
  GEMMA_DEVICE void Store(int tile, int index, float sum, float& nearest) const {
    int tile_in_part;
    const MatvecPart& part = PartOf(p_, tile, tile_in_part);
    const int r = index % kTileRows;
    int token = index / kTileRows;
    const Matrix& m = r < 16 ? part.first : part.second;
    const int row = tile_in_part * part.tile_step + (r < 16 ? r : r - 16 + part.second_row);
    const bool inside = token < p_.tokens && row < m.rows;
    sum *= Multiplier::kResultUnit;
    if (m.float_scales && inside) sum = ScaleRow(m, row, token, sum);
    if (Multiplier::kHasRowScales && inside) sum *= reinterpret_cast<const float*>(m.blocks)[row];
    if constexpr (kTokens > 1) {
      if (IsPair(p_.in_number)) {
        if (token % 2 == 0) {
          nearest = sum;
          return;
        }
        sum = nearest + kPairUnit * sum;
        token /= 2;
      }
    }
    if (p_.gated) {
      const float up = __shfl_xor_sync(kAllLanes, sum, 16);
      if (inside && r < 16) StoreOutput(p_, part, token, row, GeluTanh(sum) * up);
    } else if (inside) {
      StoreOutput(p_, part, token, row, Capped(p_, sum));
    }
  }

  // One float32 scale (and min) a row.
  GEMMA_DEVICE float ScaleRow(const Matrix& m, int row, int token, float sum) const {
    sum *= reinterpret_cast<const float*>(m.scales)[row];
    if (m.mins == nullptr) return sum;
    float total = 0;
    const uint16_t* in = p_.in + token * p_.in_stride;
    for (int c = 0; c < p_.columns; ++c) total += HalfBitsToFloat(in[c]);
    return sum + reinterpret_cast<const float*>(m.mins)[row] * (total * kActivationUnit);
  }

  const MatvecParams& p_;
  const UnitRange range_;
  float* const partials_;
  Barrier* const full_;
  Barrier* const empty_;
  const int first_tile_;
  const int end_tile_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_EPILOGUE_H_
