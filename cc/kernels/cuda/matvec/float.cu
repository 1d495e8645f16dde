#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

cudaError_t LaunchMatvecF32(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kF32>(params, launch);
}

cudaError_t LaunchMatvecF16(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kF16>(params, launch);
}

cudaError_t LaunchMatvecBF16(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kBF16>(params, launch);
}

}  // namespace gemma::cuda
