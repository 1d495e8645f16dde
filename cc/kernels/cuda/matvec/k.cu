#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

cudaError_t LaunchMatvecQ4K(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kQ4_K>(params, launch);
}

cudaError_t LaunchMatvecQ5K(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kQ5_K>(params, launch);
}

cudaError_t LaunchMatvecQ6K(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kQ6_K>(params, launch);
}

}  // namespace gemma::cuda
