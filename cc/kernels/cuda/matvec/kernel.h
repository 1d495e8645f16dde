// The matrix-vector product for 1 to 8 tokens, bound by reading the weights once. A persistent
// kernel that shares work as stream-K does.
//
// The rows are cut into tiles of 32, a tile's columns into units of (usually) 256. Every block of a
// grid as wide as the GPU owns a contiguous range of units in tile-major order, its warps take them
// in turn, and each warp keeps a ring of half units in shared memory filled by asynchronous copies.
// A block takes most of a multiprocessor's shared memory, so that no two share one. Weights depend
// on no kernel, so the rings fill while the block waits for the kernel that makes the input: memory
// hardly idles between two products.
//
// A warp multiplies on the tensor cores: 16 rows of weights times 8 columns, of which `tokens` are
// used. Sums are float32: per group inside of the tensor core, then times the group's scale. The
// warps leave their sums of a tile to one more warp, which adds them in a fixed order. Stream-K:
// where two blocks share a tile, the one with its first columns adds the other's partial sum. That
// block computed it first, so the wait is short, and the order of addition is fixed: results never
// depend on timing.
#ifndef CC_KERNELS_CUDA_MATVEC_KERNEL_H_
#define CC_KERNELS_CUDA_MATVEC_KERNEL_H_

#include <type_traits>

#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/matvec/copy.h"
#include "cc/kernels/cuda/matvec/epilogue.h"
#include "cc/kernels/cuda/matvec/input.h"
#include "cc/kernels/cuda/matvec/multiply.h"
#include "cc/kernels/cuda/matvec/params.h"

namespace gemma::cuda {

// HasInt8Scales: whether d of this lane's row of a unit is in the upper half of its aligned word. Rows of a
// tile begin at even numbers.
GEMMA_DEVICE int IsOddBlock(const MatvecParams& p, int in_tile) {
  return ((Lane() / 4 & p.columns / 256) + p.first_column / 256 + in_tile) & 1;
}

// kWhole: matrices of whole units with groups of 32 (WholeCopier).
template <WeightLayout kLayout, int kTokens, bool kWhole>
struct MatvecTypes {
  static constexpr bool kGroups = LanesTakeGroups(kLayout, kTokens);
  static constexpr bool kAnyGroup =
      !kWhole || kLayout == WeightLayout::kInt8;  // the 8-bit head has one scale a row
  using Copier =
      std::conditional_t<kWhole, WholeCopier<kLayout, kGroups>, AnyCopier<kLayout, kGroups>>;
  using Multiplier = std::conditional_t<kGroups, GroupMultiplier<kLayout, kTokens, kAnyGroup>,
                                        TokenMultiplier<kLayout, kTokens, kAnyGroup>>;
};

template <WeightLayout kLayout, int kTokens, bool kWhole>
__global__ void __launch_bounds__(kMatvecThreads, 1)
    MatvecKernel(const __grid_constant__ MatvecParams p,
                 const __grid_constant__ MatvecShared shared_layout) {
  using Types = MatvecTypes<kLayout, kTokens, kWhole>;
  GEMMA_SHARED_MEMORY(shared);
  constexpr int kStageBytes = StageOf(kLayout).bytes;
  constexpr int kStages = RingStages(kLayout, kTokens);
  const UnitRange range = RangeOfBlock(p);
  const bool multiplies = WarpIndex() < kMatvecWarps;
  std::byte* const ring = shared + WarpIndex() * kStages * kStageBytes;
  typename Types::Copier copier(p, multiplies ? range.begin + WarpIndex() : range.end, range.end);
#pragma unroll 1
  for (int i = 0; multiplies && i < kStages; i += 2) {
    copier.template CopyNext<0>(ring + i * kStageBytes);
    copier.template CopyNext<1>(ring + (i + 1) * kStageBytes);
  }

  const MatvecInput<kLayout, kTokens> input(p, shared, shared_layout);
  input.Prepare();
  const TileSums<kTokens, typename Types::Multiplier> tiles(p, shared, shared_layout, range);
  tiles.Prepare();
  __syncthreads();
  if (!multiplies) {
    tiles.FinishAll();
    return;
  }

  UnitContext context{p, input.View(), 0, 0};
  typename Types::Multiplier multiplier(context.in);
  float sums[2][4] = {};
  std::byte* stage = ring;
  UnitCursor at(range.begin + WarpIndex(), p.units_per_tile);
#pragma unroll 1
  for (int tile = tiles.first_tile(); tile < tiles.end_tile(); ++tile) {
#pragma unroll 1
    while (at.tile == tile && at.unit < range.end) {
      context.in_tile = at.in_tile;
      if (HasInt8Scales(kLayout)) context.odd = IsOddBlock(p, at.in_tile);
      multiplier.LoadInput(context);
      WaitCopies<kStages - 1>();
      __syncwarp();
      multiplier.AddHalf(context, stage, sums[0]);
      __syncwarp();
      copier.template CopyNext<0>(stage);
      WaitCopies<kStages - 1>();
      __syncwarp();
      multiplier.AddHalf(context, stage + kStageBytes, sums[1]);
      __syncwarp();
      copier.template CopyNext<1>(stage + kStageBytes);
      stage += 2 * kStageBytes;
      if (stage == ring + kStages * kStageBytes) stage = ring;
      at.Advance(p.units_per_tile);
    }
    tiles.Leave(tile, sums);
  }
}

template <WeightLayout kLayout, int kTokens, bool kWhole>
cudaError_t LaunchMatvecKernel(const MatvecParams& params, const LaunchOptions& launch) {
  const MatvecShared shared = MatvecSharedOf(kLayout, kTokens, params.units_per_tile);
  const LaunchShape shape{dim3(static_cast<unsigned>(params.blocks)), kMatvecThreads,
                          Exclusive(shared.bytes, launch), launch};
  return Launch(MatvecKernel<kLayout, kTokens, kWhole>, shape, params, shared);
}

template <WeightLayout kLayout, bool kWhole>
cudaError_t LaunchMatvecSlots(const MatvecParams& params, const LaunchOptions& launch) {
  const int slots = TokenSlots(params);
  if (slots == 1) return LaunchMatvecKernel<kLayout, 1, kWhole>(params, launch);
  if (slots == 2) return LaunchMatvecKernel<kLayout, 2, kWhole>(params, launch);
  return LaunchMatvecKernel<kLayout, kMaxDecodeTokens, kWhole>(params, launch);
}

template <WeightLayout kLayout>
cudaError_t LaunchMatvec(const MatvecParams& params, const LaunchOptions& launch) {
  return params.full_rows ? LaunchMatvecSlots<kLayout, true>(params, launch)
                          : LaunchMatvecSlots<kLayout, false>(params, launch);
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_KERNEL_H_
