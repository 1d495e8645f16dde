#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchMatvec<WeightLayout::kInt8>(const MatvecParams&, const LaunchOptions&);

}  // namespace gemma::cuda
