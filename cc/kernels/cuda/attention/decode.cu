#include "cc/kernels/cuda/attention/decode_kernel.h"

namespace gemma::cuda {
namespace {

template <int kHeadDim, int kRotated, bool kPaired, int kRowTiles>
__global__ void __launch_bounds__(kAttentionWarps* kWarp, 1)
    DecodeAttentionKernel(const __grid_constant__ AttentionParams p,
                          const __grid_constant__ DecodeShared layout) {
  GEMMA_SHARED_MEMORY(shared);
  DecodeBlock<kHeadDim, kRotated, kPaired, kRowTiles>(p, layout, shared).Run();
}

template <int kHeadDim, int kRotated, bool kPaired, int kRowTiles>
cudaError_t LaunchRows(const AttentionParams& p, const DecodeShared& layout,
                       const AttentionLaunch& launch) {
  LaunchShape shape{dim3(static_cast<unsigned>(p.prepare.cache.kv_heads * p.splits)),
                    kAttentionWarps * kWarp, static_cast<size_t>(layout.bytes), launch.overlap,
                    launch.stream};
  if (shape.shared_bytes < kExclusiveSharedBytes) shape.shared_bytes = kExclusiveSharedBytes;
  return Launch(DecodeAttentionKernel<kHeadDim, kRotated, kPaired, kRowTiles>, shape, p, layout);
}

template <int kHeadDim, int kRotated, bool kPaired = false>
cudaError_t LaunchHead(const AttentionParams& p, const DecodeShared& layout,
                       const AttentionLaunch& launch) {
  const int rows = p.prepare.tokens * (p.prepare.heads / p.prepare.cache.kv_heads);
  switch (RowTiles(rows)) {
    case 1:
      return LaunchRows<kHeadDim, kRotated, kPaired, 1>(p, layout, launch);
    case 2:
      return LaunchRows<kHeadDim, kRotated, kPaired, 2>(p, layout, launch);
    default:
      return LaunchRows<kHeadDim, kRotated, kPaired, 4>(p, layout, launch);
  }
}

}  // namespace

cudaError_t LaunchDecodeAttention(const AttentionParams& p, const DecodeShared& layout,
                                  const AttentionLaunch& launch) {
  const DeviceCache& cache = p.prepare.cache;
  if (cache.paired) {
    if (cache.head_dim == 64) return LaunchHead<64, 0, true>(p, layout, launch);
    if (cache.head_dim == 128) return LaunchHead<128, 0, true>(p, layout, launch);
    return LaunchHead<256, 0, true>(p, layout, launch);
  }
  switch (cache.head_dim) {
    case 64:
      return cache.rotated > 0 ? LaunchHead<64, 16>(p, layout, launch)
                               : LaunchHead<64, 0>(p, layout, launch);
    case 128:
      return LaunchHead<128, 0>(p, layout, launch);
    case 256:
      return LaunchHead<256, 0>(p, layout, launch);
    default:
      return cache.rotated > 0 ? LaunchHead<512, 128>(p, layout, launch)
                               : LaunchHead<512, 0>(p, layout, launch);
  }
}

}  // namespace gemma::cuda
