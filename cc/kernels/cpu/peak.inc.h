// The machine's limits in one instruction set; see peak.h.

constexpr int kChains = kLanes == 4 ? 8 : 12;

inline float RunChains(int64_t count) {
  F sums[kChains];
  for (int j = 0; j < kChains; ++j) sums[j] = Set(static_cast<float>(j));
  // Read at run time, so that nothing is computed in advance.
  volatile float factor = 0.999f, offset = 1e-3f;
  const F a = Set(factor), b = Set(offset);
  for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) sums[j] = Fma(sums[j], a, b);
  }
  for (int j = 1; j < kChains; ++j) sums[0] = sums[0] + sums[j];
  return Sum(sums[0]);
}
