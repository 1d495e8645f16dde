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
                       const LaunchOptions& launch) {
  const LaunchShape shape{dim3(static_cast<unsigned>(p.prepare.cache.kv_heads * p.splits)),
                          kAttentionWarps * kWarp, Exclusive(layout.bytes, launch), launch};
  return Launch(DecodeAttentionKernel<kHeadDim, kRotated, kPaired, kRowTiles>, shape, p, layout);
}

template <int kHeadDim, int kRotated, bool kPaired>
cudaError_t LaunchHead(const AttentionParams& p, const DecodeShared& layout,
                       const LaunchOptions& launch) {
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
                                  const LaunchOptions& launch) {
  return WithHeadSizes</*kPrompts=*/false>(
      p.prepare.cache, [&]<int kHeadDim, int kRotated, bool kPaired>() {
        return LaunchHead<kHeadDim, kRotated, kPaired>(p, layout, launch);
      });
}

}  // namespace gemma::cuda
