// Activations as the kernels store them (activation.h), for tests.
#ifndef CC_KERNELS_CUDA_TESTING_HALF_VALUES_H_
#define CC_KERNELS_CUDA_TESTING_HALF_VALUES_H_

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace gemma::cuda {

struct HalfValues {
  std::vector<float> values;   // what the bits mean
  std::vector<uint16_t> bits;  // float16 of kActivationScale times a value
};

// Normal numbers, times `scale`.
HalfValues RandomActivations(size_t size, float scale, std::mt19937& random);
std::vector<float> ActivationsToFloats(std::span<const uint16_t> bits);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_TESTING_HALF_VALUES_H_
