#include "cc/kernels/cuda/gemm/sm90_kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchGemmSm90<WeightLayout::kIq4Nl>(const GemmSm90Params&, const TileMap&,
                                                          int, const LaunchOptions&);
template cudaError_t LaunchGemmSm90<WeightLayout::kIq4Xs>(const GemmSm90Params&, const TileMap&,
                                                          int, const LaunchOptions&);
template cudaError_t LaunchGemmSm90<WeightLayout::kNvfp4>(const GemmSm90Params&, const TileMap&,
                                                          int, const LaunchOptions&);

}  // namespace gemma::cuda
