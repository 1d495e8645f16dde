// Weights of any layout with random contents, for tests and benchmarks.
#ifndef CC_KERNELS_TESTING_RANDOM_WEIGHT_H_
#define CC_KERNELS_TESTING_RANDOM_WEIGHT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "cc/kernels/weight_layout.h"

namespace gemma {

// Owns a blob, aligned to 128 bytes as the .ptd is. Every bit of the codes is random; scales are
// about 0.01 to 0.02 of either sign, so that values have the size of a model's.
class RandomWeight {
 public:
  // The shape must be one that LayOutWeight accepts.
  RandomWeight(const WeightShape& shape, uint32_t seed);

  const WeightView& view() const { return view_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> blob_;
  WeightView view_;
};

// Normally distributed with deviation 1.
std::vector<float> RandomFloats(int64_t count, uint32_t seed);

}  // namespace gemma

#endif  // CC_KERNELS_TESTING_RANDOM_WEIGHT_H_
