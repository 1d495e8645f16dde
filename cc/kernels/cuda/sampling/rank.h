// The order of logits in sampling and scoring: the larger logit first, of equals the lower id; NaN
// counts as minus infinity.
#ifndef CC_KERNELS_CUDA_SAMPLING_RANK_H_
#define CC_KERNELS_CUDA_SAMPLING_RANK_H_

#include <cmath>

#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

using RankKey = unsigned long long;

// A larger key ranks first; every id has its own.
GEMMA_DEVICE RankKey RankKeyOf(float logit, int id) {
  if (!(logit >= -INFINITY)) logit = -INFINITY;
  const uint32_t bits = __float_as_uint(logit + 0.0f);  // -0 and 0 are equal
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return RankKey{ordered} << 32 | static_cast<uint32_t>(~id);
}

GEMMA_DEVICE int IdOf(RankKey key) { return static_cast<int>(~static_cast<uint32_t>(key)); }

GEMMA_DEVICE float LogitOf(RankKey key) {
  const uint32_t ordered = static_cast<uint32_t>(key >> 32);
  return __uint_as_float(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

GEMMA_DEVICE RankKey WarpLargest(RankKey key) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const RankKey other = __shfl_xor_sync(kAllLanes, key, mask);
    if (other > key) key = other;
  }
  return key;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_SAMPLING_RANK_H_
