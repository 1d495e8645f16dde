// Pointwise functions, on the device.
#ifndef CC_KERNELS_CUDA_ACTIVATION_H_
#define CC_KERNELS_CUDA_ACTIVATION_H_

#include "cc/kernels/cuda/language.h"

namespace gemma::cuda {

// z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 z^3))), by way of (1 + tanh(u)) / 2 = 1 / (1 +
// exp(-2u)).
GEMMA_DEVICE float GeluTanh(float z) {
  const float u = 0.7978845608028654f * (z + 0.044715f * z * z * z);
  return z / (1.0f + expf(-2.0f * u));
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ACTIVATION_H_
