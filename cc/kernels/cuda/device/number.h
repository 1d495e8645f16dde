// How a number of an activation is stored.
#ifndef CC_KERNELS_CUDA_DEVICE_NUMBER_H_
#define CC_KERNELS_CUDA_DEVICE_NUMBER_H_

#include <cstdint>

namespace gemma::cuda {

enum class Number : uint8_t {
  kFloat32,
  kFloat16,      // float16 of kActivationScale times the number (activation.h)
  kFloat16Pair,  // two of them, hi + lo / kPairScale: a row of hi, then a row of lo (activation.h)
};

constexpr bool IsPair(Number number) { return number == Number::kFloat16Pair; }
// Float16 or pairs of it.
constexpr bool IsHalf(Number number) { return number != Number::kFloat32; }
// Rows that a token takes in a matrix of such numbers.
constexpr int RowsOf(Number number) { return IsPair(number) ? 2 : 1; }

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_NUMBER_H_
