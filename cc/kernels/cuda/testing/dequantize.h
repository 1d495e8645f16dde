// A whole weight's values, as the device's decoding gives them.
#ifndef CC_KERNELS_CUDA_TESTING_DEQUANTIZE_H_
#define CC_KERNELS_CUDA_TESTING_DEQUANTIZE_H_

#include <cuda_runtime_api.h>

#include "cc/kernels/cuda/device/matrix.h"

namespace gemma::cuda {

// To the last bit what docs/formats.md defines. out: [rows, columns]
cudaError_t LaunchDequantize(const Matrix& matrix, float* out, cudaStream_t stream);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_TESTING_DEQUANTIZE_H_
