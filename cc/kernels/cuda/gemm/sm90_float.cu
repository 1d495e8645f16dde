#include "cc/kernels/cuda/gemm/sm90_kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchGemmSm90<Layout::kF16>(const GemmSm90Params&, const TileMap&, int,
                                                  const GemmLaunch&);
template cudaError_t LaunchGemmSm90<Layout::kBF16>(const GemmSm90Params&, const TileMap&, int,
                                                   const GemmLaunch&);

}  // namespace gemma::cuda
