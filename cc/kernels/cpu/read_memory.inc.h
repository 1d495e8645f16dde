// Reading as quickly as memory gives: what products of few tokens are measured by.

// The sum of count floats, a multiple of 128.
inline float ReadMemory(const float* p, int64_t count) {
  constexpr int kStreams = 8;
  F sums[kStreams] = {};
  int64_t i = 0;
  for (; i + kStreams * kLanes <= count; i += kStreams * kLanes) {
    __builtin_prefetch(p + i + 1024);
    __builtin_prefetch(p + i + 1024 + kStreams * kLanes / 2);
#pragma GCC unroll 8
    for (int j = 0; j < kStreams; ++j) sums[j] = sums[j] + Load(p + i + j * kLanes);
  }
  for (int j = 1; j < kStreams; ++j) sums[0] = sums[0] + sums[j];
  return Sum(sums[0]);
}
