#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchMatvec<WeightLayout::kQ4_K>(const MatvecParams&, const LaunchOptions&);
template cudaError_t LaunchMatvec<WeightLayout::kQ5_K>(const MatvecParams&, const LaunchOptions&);
template cudaError_t LaunchMatvec<WeightLayout::kQ6_K>(const MatvecParams&, const LaunchOptions&);

}  // namespace gemma::cuda
