#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

cudaError_t LaunchMatvecInt4(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kInt4>(params, launch);
}

cudaError_t LaunchMatvecInt4Min(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kInt4Min>(params, launch);
}

}  // namespace gemma::cuda
