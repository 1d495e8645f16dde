#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

cudaError_t LaunchMatvecInt5(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kInt5>(params, launch);
}

cudaError_t LaunchMatvecInt5Min(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kInt5Min>(params, launch);
}

}  // namespace gemma::cuda
