#include "cc/kernels/cuda/gemm/mma_kernel.h"
#include "cc/kernels/cuda/gemm/sm90_kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchGemmSm90<WeightLayout::kQ4_K>(const GemmTileParams&, const TileMap&, int,
                                                         const LaunchOptions&);
template cudaError_t LaunchGemmSm90<WeightLayout::kQ5_K>(const GemmTileParams&, const TileMap&, int,
                                                         const LaunchOptions&);
template cudaError_t LaunchGemmMma<WeightLayout::kQ4_K>(const GemmTileParams&, const MmaTile&,
                                                        const LaunchOptions&);
template cudaError_t LaunchGemmMma<WeightLayout::kQ5_K>(const GemmTileParams&, const MmaTile&,
                                                        const LaunchOptions&);

}  // namespace gemma::cuda
