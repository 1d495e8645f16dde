// From the warps' sums of a matrix-vector product to outputs.
#ifndef CC_KERNELS_CUDA_MATVEC_EPILOGUE_H_
#define CC_KERNELS_CUDA_MATVEC_EPILOGUE_H_

#include "cc/kernels/cuda/activation.h"
#include "cc/kernels/cuda/instructions.h"
#include "cc/kernels/cuda/matvec_copy.h"
#include "cc/kernels/cuda/matvec_params.h"

namespace gemma::cuda {

struct UnitRange {
  int begin;
  int end;
};

// The units of this block: an even share, or, with whole tiles, those of an even share of the
// tiles.
GEMMA_DEVICE UnitRange RangeOfBlock(const MatvecParams& p) {
  const int64_t step = p.whole_tiles ? p.units_per_tile : 1;
  const int64_t pieces = p.total_units / step;
  const int64_t block = blockIdx.x, blocks = gridDim.x;
  return {static_cast<int>(pieces * block / blocks * step),
          static_cast<int>(pieces * (block + 1) / blocks * step)};
}

template <typename T>
GEMMA_DEVICE T VolatileLoad(const T* address) {
  return *static_cast<const volatile T*>(address);
}

// Collects a block's sums tile by tile. Partial sums lie in a few slots that are used in turn:
//   partials [slot][warp][token][32 rows], counters [slot].
// A slot's counter goes up by one when a warp has left its sums and when they have been taken:
// kEvents for every tile.
template <int kTokens, typename Multiplier>
class TileSums {
 public:
  static constexpr int kSlots = PartialSlots(kTokens);
  static constexpr int kEvents = kMatvecWarps + 1;
  static constexpr int kOutputs = kTileRows * kTokens;

  GEMMA_DEVICE TileSums(const MatvecParams& p, std::byte* shared, const MatvecShared& layout,
                        const UnitRange& range)
      : p_(p),
        range_(range),
        partials_(reinterpret_cast<float*>(shared + layout.partials)),
        counters_(reinterpret_cast<uint32_t*>(shared + layout.counters)),
        first_tile_(range.begin / p.units_per_tile),
        next_tile_(first_tile_),
        end_tile_((range.end + p.units_per_tile - 1) / p.units_per_tile) {}

  GEMMA_DEVICE void Prepare() const {
    if (threadIdx.x < kSlots) counters_[threadIdx.x] = 0;
  }

  GEMMA_DEVICE int end_tile() const { return end_tile_; }

  // The warp has done all that it will do of the tiles before `tile`; its sums are of the last of
  // these that it touched.
  GEMMA_DEVICE void AdvanceTo(int tile, float (&sums)[2][4]) {
    while (next_tile_ < tile) {
      Leave(next_tile_, sums);
#pragma unroll
      for (int i = 0; i < 8; ++i) sums[i / 4][i % 4] = 0;
      ++next_tile_;
    }
  }

 private:
  GEMMA_DEVICE float* Partials(int slot, int warp) const {
    return partials_ + (slot * kMatvecWarps + warp) * kOutputs;
  }

  GEMMA_DEVICE void Leave(int tile, const float (&sums)[2][4]) const {
    const int local = tile - first_tile_;
    const int slot = local % kSlots;
    const uint32_t base = static_cast<uint32_t>(local / kSlots * kEvents);
    if (Lane() == 0) {
      while (VolatileLoad(&counters_[slot]) < base) SpinPause();
    }
    __syncwarp();
    float* const to = Partials(slot, WarpIndex());
    Multiplier::Leave(sums[0], to, kTileRows);
    Multiplier::Leave(sums[1], to + 8, kTileRows);
    if (Count(slot) == base + kMatvecWarps - 1) {
      Finish(tile, slot);
      Count(slot);
    }
  }

  // Adds one to the slot's counter after all that the warp wrote and read; the number before.
  GEMMA_DEVICE uint32_t Count(int slot) const {
    __threadfence_block();
    __syncwarp();
    uint32_t before = 0;
    if (Lane() == 0) before = atomicAdd(&counters_[slot], 1u);
    before = __shfl_sync(kAllLanes, before, 0);
    __threadfence_block();
    return before;
  }

  GEMMA_DEVICE void Finish(int tile, int slot) const {
    const bool begun_here = tile * p_.units_per_tile >= range_.begin;
    const bool ended_here = (tile + 1) * p_.units_per_tile <= range_.end;
    if (begun_here && !ended_here) AwaitBoundary();
#pragma unroll
    for (int start = 0; start < kOutputs; start += kWarp) {
      const int index = start + Lane();
      float sum = 0;
      if (index < kOutputs) {
        for (int w = 0; w < kMatvecWarps; ++w) sum += Partials(slot, w)[index];
      }
      if (!begun_here) {
        if (index < kOutputs) p_.boundary_sums[blockIdx.x * kBoundaryOutputs + index] = sum;
        continue;
      }
      if (!ended_here && index < kOutputs) {
        sum += VolatileLoad(&p_.boundary_sums[(blockIdx.x + 1) * kBoundaryOutputs + index]);
      }
      Store(tile, index, sum);
    }
    if (!begun_here) PublishBoundary();
    if (begun_here && !ended_here) ClearBoundary();
  }

  static constexpr int kBoundaryOutputs = kTileRows * kMaxMatvecTokens;

  GEMMA_DEVICE void PublishBoundary() const {
    __threadfence();
    __syncwarp();
    if (Lane() == 0) StoreRelease(&p_.boundary_flags[blockIdx.x], 1);
  }
  GEMMA_DEVICE void AwaitBoundary() const {
    if (Lane() == 0) {
      while (LoadAcquire(&p_.boundary_flags[blockIdx.x + 1]) == 0) SpinPause();
    }
    __syncwarp();
  }
  GEMMA_DEVICE void ClearBoundary() const {
    __syncwarp();
    if (Lane() == 0) StoreRelease(&p_.boundary_flags[blockIdx.x + 1], 0);
  }

  // The complete sum of output `index` = token * 32 + row of the tile. All lanes of the warp call
  // this together.
  GEMMA_DEVICE void Store(int tile, int index, float sum) const {
    int tile_in_part;
    const MatvecPart& part = PartOf(p_, tile, tile_in_part);
    const int r = index % kTileRows, token = index / kTileRows;
    const Matrix& m = r < 16 ? part.first : part.second;
    const int row = tile_in_part * part.tile_step + (r < 16 ? r : r - 16 + part.second_row);
    const bool inside = index < kOutputs && token < p_.tokens && row < m.rows;
    sum *= Multiplier::kResultUnit;
    if (m.float_scales && inside) sum = ScaleRow(m, row, token, sum);
    if (p_.gated) {
      const float up = __shfl_xor_sync(kAllLanes, sum, 16);
      if (inside && r < 16) StoreOutput(part, token, row, GeluTanh(sum) * up);
    } else if (inside) {
      StoreOutput(part, token, row, p_.softcap > 0 ? p_.softcap * tanhf(sum / p_.softcap) : sum);
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

  GEMMA_DEVICE void StoreOutput(const MatvecPart& part, int token, int row, float value) const {
    const int64_t stride = p_.out_stride == 0 ? part.first.rows : p_.out_stride;
    const int64_t at = token * stride + row;
    if (p_.half_out) {
      static_cast<__half*>(part.out)[at] = __float2half_rn(value * kActivationScale);
      return;
    }
    float* out = static_cast<float*>(part.out);
    out[at] = p_.accumulate ? out[at] + value : value;
  }

  const MatvecParams& p_;
  const UnitRange range_;
  float* const partials_;
  uint32_t* const counters_;
  const int first_tile_;
  int next_tile_;
  const int end_tile_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_EPILOGUE_H_
