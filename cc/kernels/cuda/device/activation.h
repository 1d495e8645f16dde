// How activations are stored in 16 bits, and pointwise functions of them, on the device.
//
// A 16-bit activation x (a normalized input, attention's output, gelu(gate) * up) is the float16 of
// kActivationScale * x: float16 rounds eight times finer than bfloat16, and the scale, a power of
// two and therefore exact, puts its range at about 4e-3 to 4e6 in full precision. What lies below
// has an absolute error of at most 2e-6; what lies above becomes infinite, and so the logits NaN.
// Queries, keys and values are float16 without a scale.
//
// Pairs (a hi + lo split): where a plan asks for float32, x is stored as hi + lo / kPairScale, two
// float16 (22 bits of mantissa): hi = round(x), lo = kPairScale * (x - hi). A matrix of pairs has
// two rows a token, 2 t for hi and 2 t + 1 for lo, so products know nothing of pairs until they add
// the results of both rows, the second times kPairUnit.
#ifndef CC_KERNELS_CUDA_DEVICE_ACTIVATION_H_
#define CC_KERNELS_CUDA_DEVICE_ACTIVATION_H_

#include <cuda_fp16.h>

#include "cc/kernels/cuda/device/language.h"

namespace gemma::cuda {

inline constexpr float kActivationScale = 1.0f / 64;
inline constexpr float kActivationUnit = 64;  // its inverse: a stored number times this is x
inline constexpr float kPairScale = 2048;
inline constexpr float kPairUnit = 1 / kPairScale;

// What float16 leaves of x, exactly.
GEMMA_DEVICE float HalfRest(float x) { return x - __half2float(__float2half_rn(x)); }

// a / b with an error of up to 2 units in the last place, 0 for b beyond 2^126: few instructions.
GEMMA_DEVICE float Quotient(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

// z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 z^3))),
// by way of (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)).
GEMMA_DEVICE float GeluTanh(float z) {
  const float u = 0.7978845608028654f * (z + 0.044715f * z * z * z);
  return Quotient(z, 1.0f + expf(-2.0f * u));
}

// cap * tanh(z / cap), with an error of some 1e-7 of the cap.
GEMMA_DEVICE float Softcap(float z, float cap) {
  const float t = expf(Quotient(-2.0f * fabsf(z), cap));
  const float result = cap * Quotient(1.0f - t, 1.0f + t);
  return z < 0 ? -result : result;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_ACTIVATION_H_
