#include "cc/kernels/cuda/gemm/sm90_kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchGemmSm90<WeightLayout::kQ4_K>(const GemmSm90Params&, const TileMap&, int,
                                                         const LaunchOptions&);
template cudaError_t LaunchGemmSm90<WeightLayout::kQ5_K>(const GemmSm90Params&, const TileMap&, int,
                                                         const LaunchOptions&);

}  // namespace gemma::cuda
