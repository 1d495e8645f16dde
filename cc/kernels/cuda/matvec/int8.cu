#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

cudaError_t LaunchMatvecInt8(const MatvecParams& params, const MatvecLaunch& launch) {
  return LaunchMatvec<Layout::kInt8>(params, launch);
}

}  // namespace gemma::cuda
