// A warp's share of a Prefetch.
#ifndef CC_KERNELS_CUDA_DEVICE_PREFETCH_SHARE_H_
#define CC_KERNELS_CUDA_DEVICE_PREFETCH_SHARE_H_

#include "cc/kernels/cuda/device/barrier.h"
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/device/prefetch.h"

namespace gemma::cuda {

inline constexpr int kPrefetchPiece = 8192;  // bytes of one request

GEMMA_DEVICE void PrefetchRanges(const Prefetch& prefetch, int worker, int workers) {
  const int64_t first = (static_cast<int64_t>(worker) * kWarp + Lane()) * kPrefetchPiece;
  for (const PrefetchRange& range : prefetch.ranges) {
    for (int64_t at = first; at < range.bytes; at += int64_t{kPrefetchPiece} * kWarp * workers) {
      const int64_t left = range.bytes - at;
      PrefetchBulk(range.from + at,
                   static_cast<int>(left < kPrefetchPiece ? left : kPrefetchPiece));
    }
  }
}

// Pieces of rows, every head's and plane's in turn. Their number.
GEMMA_DEVICE int64_t PrefetchCacheRows(const PrefetchCache& c, int worker, int workers) {
  const int64_t start = *c.start;
  const int64_t first = c.window == 0 || start < c.window ? 0 : start - c.window + 1;
  const int rows = kPrefetchPiece / c.row_bytes;  // of a piece
  const int planes = c.planes[1] == nullptr ? 1 : 2;
  const int64_t pieces_a_head = (start - first + rows - 1) / rows;
  const int64_t pieces = pieces_a_head * c.kv_heads * planes;
  const int64_t most = c.most_bytes / kPrefetchPiece;
  const int64_t count = pieces < most ? pieces : most;
  for (int64_t i = static_cast<int64_t>(worker) * kWarp + Lane(); i < count;
       i += int64_t{kWarp} * workers) {
    const int64_t piece = i * pieces / count;
    const int64_t plane = piece % planes, head = piece / planes % c.kv_heads;
    const int64_t begin = first + piece / planes / c.kv_heads * rows;
    const int64_t slot = begin % c.capacity;
    int64_t length = start - begin < rows ? start - begin : rows;
    if (length > c.capacity - slot) length = c.capacity - slot;  // the ring's end
    const std::byte* const from = c.planes[plane] + (head * c.capacity + slot) * c.row_bytes;
    PrefetchBulk(from, static_cast<int>(length * c.row_bytes));
  }
  return count;
}

// What warp `worker` of `workers` brings near; all its lanes call this.
GEMMA_DEVICE void PrefetchShare(const Prefetch& prefetch, int worker, int workers) {
  int64_t pieces = 0;
  if (prefetch.cache.row_bytes > 0) pieces = PrefetchCacheRows(prefetch.cache, worker, workers);
  if (pieces * kPrefetchPiece < prefetch.cache.most_bytes / 2 || prefetch.cache.row_bytes == 0)
    PrefetchRanges(prefetch, worker, workers);
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_PREFETCH_SHARE_H_
