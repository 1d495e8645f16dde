#include "cc/kernels/cuda/matvec/kernel.h"

namespace gemma::cuda {

template cudaError_t LaunchMatvec<WeightLayout::kInt4>(const MatvecParams&, const LaunchOptions&);
template cudaError_t LaunchMatvec<WeightLayout::kInt4Min>(const MatvecParams&,
                                                          const LaunchOptions&);

}  // namespace gemma::cuda
