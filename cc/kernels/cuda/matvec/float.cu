#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchMatvec<WeightLayout::kF32>(const MatvecParams&, const LaunchOptions&);
template cudaError_t LaunchMatvec<WeightLayout::kF16>(const MatvecParams&, const LaunchOptions&);
template cudaError_t LaunchMatvec<WeightLayout::kBF16>(const MatvecParams&, const LaunchOptions&);

}  // namespace gemma::cuda
