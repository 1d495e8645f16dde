#include "cc/kernels/cuda/testing/half_values.h"

#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/reference.h"

namespace gemma::cuda {
namespace {

constexpr float kScale = 1.0f / 64;  // kActivationScale, whose header is for kernel sources

}  // namespace

HalfValues RandomActivations(size_t size, float scale, std::mt19937& random) {
  HalfValues result;
  for (const float value : RandomFloats(size, scale, random))
    result.bits.push_back(reference::FloatToHalf(kScale * value));
  result.values = ActivationsToFloats(result.bits);
  return result;
}

std::vector<float> ActivationsToFloats(std::span<const uint16_t> bits) {
  std::vector<float> values;
  for (const uint16_t b : bits) values.push_back(reference::HalfToFloat(b) / kScale);
  return values;
}

}  // namespace gemma::cuda
