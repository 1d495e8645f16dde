#include "cc/kernels/cuda/gemm/sm90_kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchGemmSm90<Layout::kQ4_K>(const GemmSm90Params&, const TileMap&, int,
                                                   const GemmLaunch&);
template cudaError_t LaunchGemmSm90<Layout::kQ5_K>(const GemmSm90Params&, const TileMap&, int,
                                                   const GemmLaunch&);

}  // namespace gemma::cuda
