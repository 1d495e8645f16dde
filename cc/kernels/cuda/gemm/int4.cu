#include "cc/kernels/cuda/gemm/mma_kernel.h"
#include "cc/kernels/cuda/gemm/sm90_kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchGemmSm90<WeightLayout::kInt4>(const GemmTileParams&, const TileMap&, int,
                                                         const LaunchOptions&);
template cudaError_t LaunchGemmSm90<WeightLayout::kInt4Min>(const GemmTileParams&, const TileMap&,
                                                            int, const LaunchOptions&);
template cudaError_t LaunchGemmMma<WeightLayout::kInt4>(const GemmTileParams&, const MmaTile&,
                                                        const LaunchOptions&);
template cudaError_t LaunchGemmMma<WeightLayout::kInt4Min>(const GemmTileParams&, const MmaTile&,
                                                           const LaunchOptions&);

}  // namespace gemma::cuda
