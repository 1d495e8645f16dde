// The matrix-vector product for 1 to 8 tokens, bound by reading the weights once.
//
// The rows are cut into tiles of 32, a tile's columns into units of (usually) 256. Every block of a grid as wide as the
// GPU owns a contiguous range of units in tile-major order, its warps take them in turn, and each warp keeps a ring of half
// units in shared memory filled by asynchronous copies. A block takes most of a multiprocessor's shared memory, so that no two
// share one. Weights depend on no kernel, so the rings fill while the block waits for the kernel that makes the input: memory
// hardly idles between two products.
//
// A warp multiplies on the tensor cores: 16 rows of weights times 8 columns, of which `tokens` are used. Sums are float32:
// per group inside of the tensor core, then times the group's scale. The last warp to finish a tile adds the warps' sums in
// a fixed order. A tile whose units two blocks share is finished by the first of them, which waits for the second one's
// part; the second did that tile first, long ago. So results never depend on timing.
#ifndef CC_KERNELS_CUDA_MATVEC_KERNEL_H_
#define CC_KERNELS_CUDA_MATVEC_KERNEL_H_

#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/cuda/matvec_copy.h"
#include "cc/kernels/cuda/matvec_epilogue.h"
#include "cc/kernels/cuda/matvec_input.h"
#include "cc/kernels/cuda/matvec_multiply.h"
#include "cc/kernels/cuda/matvec_params.h"

namespace gemma::cuda {

GEMMA_DEVICE void WaitCopiesExcept(int pending) {
  switch (pending) {
    case 0: return WaitCopies<0>();
    case 1: return WaitCopies<1>();
    case 2: return WaitCopies<2>();
    case 3: return WaitCopies<3>();
    case 4: return WaitCopies<4>();
    case 5: return WaitCopies<5>();
    case 6: return WaitCopies<6>();
    default: return WaitCopies<7>();
  }
}

// Q6_K: whether d of this lane's row of a unit is in the upper half of its aligned word. Rows of a tile begin at even numbers.
GEMMA_DEVICE int IsOddBlock(const MatvecParams& p, int in_tile) {
  return ((Lane() / 4 & p.columns / 256) + p.first_column / 256 + in_tile) & 1;
}

template <Layout kLayout, int kTokens>
__global__ void __launch_bounds__(kMatvecWarps * kWarp, 1)
MatvecKernel(const __grid_constant__ MatvecParams p, const __grid_constant__ MatvecShared shared_layout) {
  GEMMA_SHARED_MEMORY(shared);
  constexpr int kStageBytes = StageOf(kLayout).bytes;
  const UnitRange range = RangeOfBlock(p);
  std::byte* const ring = shared + WarpIndex() * p.ring_stages * kStageBytes;
  UnitCopier<kLayout> copier(p, range.begin + WarpIndex(), range.end);
  for (int i = 0; i < p.ring_stages; i += 2) {
    copier.template CopyNext<0>(ring + i * kStageBytes);
    copier.template CopyNext<1>(ring + (i + 1) * kStageBytes);
  }

  const MatvecInput<kLayout, kTokens> input(p, shared, shared_layout);
  input.Prepare();
  TileSums<kTokens> tiles(p, shared, shared_layout, range);
  tiles.Prepare();
  __syncthreads();

  const InputView view = input.View();
  const uint32_t magic = OpaqueWord(kBf16Of128);
  UnitInput<kLayout, kTokens> unit_input(view);
  float sums[2][4] = {};
  std::byte* stage = ring;
  std::byte* const ring_end = ring + p.ring_stages * kStageBytes;
  for (UnitCursor at(range.begin + WarpIndex(), p.units_per_tile); at.unit < range.end; at.Advance(p.units_per_tile)) {
    const int odd = kLayout == Layout::kQ6_K ? IsOddBlock(p, at.in_tile) : 0;
    unit_input.Load(at.in_tile * (UnitColumns(kLayout) / 32));
    tiles.AdvanceTo(at.tile, sums);
    WaitCopiesExcept(p.ring_stages - 1);
    __syncwarp();
    AddHalfUnit<kLayout, kTokens>(p, stage, at.in_tile, odd, view, unit_input, magic, sums[0]);
    __syncwarp();
    copier.template CopyNext<0>(stage);
    stage += kStageBytes;
    WaitCopiesExcept(p.ring_stages - 1);
    __syncwarp();
    AddHalfUnit<kLayout, kTokens>(p, stage, at.in_tile, odd, view, unit_input, magic, sums[1]);
    __syncwarp();
    copier.template CopyNext<1>(stage);
    stage += kStageBytes;
    if (stage == ring_end) stage = ring;
  }
  tiles.AdvanceTo(tiles.end_tile(), sums);
}

template <Layout kLayout>
cudaError_t LaunchMatvec(const MatvecParams& params, const MatvecLaunch& launch) {
  const MatvecShared shared = MatvecSharedOf(kLayout, params.tokens, params.units_per_tile, params.ring_stages);
  LaunchShape shape{dim3(static_cast<unsigned>(launch.blocks)), kMatvecWarps * kWarp, static_cast<size_t>(shared.bytes),
                    launch.overlap, launch.stream};
  if (shape.shared_bytes < kExclusiveSharedBytes) shape.shared_bytes = kExclusiveSharedBytes;
  switch (TokenSlots(params.tokens)) {
    case 1: return Launch(MatvecKernel<kLayout, 1>, shape, params, shared);
    case 2: return Launch(MatvecKernel<kLayout, 2>, shape, params, shared);
    case 4: return Launch(MatvecKernel<kLayout, 4>, shape, params, shared);
    default: return Launch(MatvecKernel<kLayout, 8>, shape, params, shared);
  }
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_KERNEL_H_
