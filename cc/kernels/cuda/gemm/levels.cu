#include "cc/kernels/cuda/gemm/mma_kernel.h"
#include "cc/kernels/cuda/gemm/sm90_kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchGemmSm90<WeightLayout::kIq4Nl>(const GemmTileParams&, const TileMap&,
                                                          int, const LaunchOptions&);
template cudaError_t LaunchGemmSm90<WeightLayout::kIq4Xs>(const GemmTileParams&, const TileMap&,
                                                          int, const LaunchOptions&);
template cudaError_t LaunchGemmSm90<WeightLayout::kNvfp4>(const GemmTileParams&, const TileMap&,
                                                          int, const LaunchOptions&);
template cudaError_t LaunchGemmMma<WeightLayout::kIq4Nl>(const GemmTileParams&, const MmaTile&,
                                                         const LaunchOptions&);
template cudaError_t LaunchGemmMma<WeightLayout::kIq4Xs>(const GemmTileParams&, const MmaTile&,
                                                         const LaunchOptions&);
template cudaError_t LaunchGemmMma<WeightLayout::kNvfp4>(const GemmTileParams&, const MmaTile&,
                                                         const LaunchOptions&);

}  // namespace gemma::cuda
