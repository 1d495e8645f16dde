// What the next operation of the stream reads first, which a kernel brings into the L2 cache when
// it has nothing left to ask for itself: memory does not idle while kernels change. Nothing depends
// on it but time.
#ifndef CC_KERNELS_CUDA_DEVICE_PREFETCH_H_
#define CC_KERNELS_CUDA_DEVICE_PREFETCH_H_

#include <cstddef>
#include <cstdint>

namespace gemma::cuda {

// Of weights: aligned to 16 bytes, and as many.
struct PrefetchRange {
  const std::byte* from = nullptr;
  int64_t bytes = 0;
};

// The visible rows of a layer's cache: where they lie follows from the position, which a captured
// graph finds in device memory.
struct PrefetchCache {
  static constexpr int kPlanes = 2;
  const std::byte* planes[kPlanes] = {};  // [kv_heads, capacity] rows each
  int32_t row_bytes = 0;                  // a multiple of 16; 0: nothing to prefetch
  int32_t kv_heads = 0;
  int32_t capacity = 0;
  int32_t window = 0;
  const int64_t* start = nullptr;  // rows before this position
  int64_t most_bytes = 0;          // where all take more: evenly spread ones
};

// The cache, or, where there is none or a short one, (also) the ranges.
struct Prefetch {
  static constexpr int kMaxRanges = 6;
  PrefetchRange ranges[kMaxRanges];
  PrefetchCache cache;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_PREFETCH_H_
