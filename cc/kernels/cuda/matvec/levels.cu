#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchMatvec<WeightLayout::kIq4Nl>(const MatvecParams&, const LaunchOptions&);
template cudaError_t LaunchMatvec<WeightLayout::kIq4Xs>(const MatvecParams&, const LaunchOptions&);
template cudaError_t LaunchMatvec<WeightLayout::kNvfp4>(const MatvecParams&, const LaunchOptions&);

}  // namespace gemma::cuda
