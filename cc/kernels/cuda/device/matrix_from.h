// A kernel's view of a weight in device memory.
#ifndef CC_KERNELS_CUDA_DEVICE_MATRIX_FROM_H_
#define CC_KERNELS_CUDA_DEVICE_MATRIX_FROM_H_

#include "cc/kernels/cuda/device/matrix.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

// `weight` is one that WeightView::Create made, with `data` in device memory: the bytes of the
// .ptd, aligned to 128 bytes and followed by at least 16 readable ones.
Matrix MatrixFrom(const WeightView& weight);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_MATRIX_FROM_H_
