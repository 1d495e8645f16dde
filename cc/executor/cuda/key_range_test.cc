#include "cc/executor/cuda/key_range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace gemma {
namespace {

std::string Problem(float weight, int64_t head_dim) {
  const PlanCache cache = {.name = "layers.3.kv_cache", .head_dim = head_dim};
  std::vector<float> k_norm(static_cast<size_t>(head_dim), 1);
  k_norm.back() = weight;
  return std::string(CheckKeyRange(cache, k_norm).message());
}

TEST(KeyRangeTest, TheLargestKeyMustFit) {
  EXPECT_EQ(Problem(1, 512), "");
  EXPECT_EQ(Problem(4094, 256), "");  // times 16: 65504
  EXPECT_EQ(Problem(-4094, 256), "");
  EXPECT_EQ(Problem(-4095, 256),
            "layers.3.kv_cache: its k_norm has 4095, so that keys may be beyond the 65504 of the "
            "float16 in which CUDA keeps them (use --device cpu)");
  EXPECT_NE(Problem(INFINITY, 64), "");
  EXPECT_NE(Problem(std::nanf(""), 64), "");
}

}  // namespace
}  // namespace gemma
