// From the sums of a split of the context to attention's output. Where a kv head has several
// splits, each leaves its sums in device memory, waits until all have, and combines a share of the
// outputs: all splits are resident at the same time, since a grid has a block a multiprocessor at
// most.
#ifndef CC_KERNELS_CUDA_ATTENTION_DECODE_COMBINE_H_
#define CC_KERNELS_CUDA_ATTENTION_DECODE_COMBINE_H_

#include <cmath>

#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

// Of one split and kv head: [rows][head_dim] sums, then [rows] of these.
struct SplitTotal {
  float largest;  // score
  float weight;   // the sum of exp(score - largest)
};

template <int kHeadDim, bool kPaired>
class SplitSums {
 public:
  // group: query heads of the kv head `head`.
  GEMMA_DEVICE SplitSums(const AttentionParams& p, int head, int split, int active, int group)
      : p_(p),
        head_(head),
        split_(split),
        active_(active),
        group_(group),
        rows_(p.prepare.tokens * group) {}

  GEMMA_DEVICE float* Sums(int split) const {
    const int64_t place = static_cast<int64_t>(split) * p_.prepare.cache.kv_heads + head_;
    return p_.partials + place * SplitFloats(rows_, kHeadDim);
  }
  GEMMA_DEVICE SplitTotal* Totals(int split) const {
    return reinterpret_cast<SplitTotal*>(Sums(split) + rows_ * kHeadDim);
  }

  // Two neighbouring columns of a row's output.
  GEMMA_DEVICE void Store(int row, int column, float a, float b) const {
    const int token = row / group_, head = head_ * group_ + row % group_;
    const int64_t out_row = kPaired ? 2 * token : token;
    uint16_t* to = p_.out + (out_row * p_.prepare.heads + head) * kHeadDim + column;
    a *= kActivationScale, b *= kActivationScale;
    *reinterpret_cast<uint32_t*>(to) = PackHalf(a, b);
    if constexpr (kPaired) {
      *reinterpret_cast<uint32_t*>(to + p_.prepare.heads * kHeadDim) =
          PackHalf(kPairScale * HalfRest(a), kPairScale * HalfRest(b));
    }
  }

  // All threads of the block, after they have left the split's sums and totals.
  GEMMA_DEVICE void Combine() const {
    MeetSplits();
    const int pieces = rows_ * kPieces;
    const int end = pieces * (split_ + 1) / active_;
    // Whole warps come along, since lanes add up what eight of them have.
    for (int first = pieces * split_ / active_; first < end; first += kPiecesAtOnce) {
      const int piece = first + static_cast<int>(threadIdx.x) / kLanes;
      CombinePiece(piece < end ? piece : end - 1, piece < end);
    }
    Leave();
  }

 private:
  static constexpr int kThreads = kAttentionWarps * kWarp;
  static constexpr int kPieces = kHeadDim / 4;  // of a row
  static constexpr int kLanes = 8;              // that share a piece, each some of the splits
  static constexpr int kPiecesAtOnce = kThreads / kLanes;

  // Sums of exp(score - largest) * value and of the weights alone, over some splits.
  struct Partial {
    float largest = -INFINITY;
    float weight = 0;
    float4 sum = make_float4(0, 0, 0, 0);

    GEMMA_DEVICE void Add(const Partial& other) {
      const float most = fmaxf(largest, other.largest);
      if (!(most > -INFINITY)) return;
      const float mine = expf(largest - most), theirs = expf(other.largest - most);
      largest = most;
      weight = weight * mine + other.weight * theirs;
      sum.x = sum.x * mine + other.sum.x * theirs, sum.y = sum.y * mine + other.sum.y * theirs;
      sum.z = sum.z * mine + other.sum.z * theirs, sum.w = sum.w * mine + other.sum.w * theirs;
    }

    GEMMA_DEVICE Partial OfLane(int mask) const {
      Partial p;
      p.largest = __shfl_xor_sync(kAllLanes, largest, mask);
      p.weight = __shfl_xor_sync(kAllLanes, weight, mask);
      p.sum.x = __shfl_xor_sync(kAllLanes, sum.x, mask);
      p.sum.y = __shfl_xor_sync(kAllLanes, sum.y, mask);
      p.sum.z = __shfl_xor_sync(kAllLanes, sum.z, mask);
      p.sum.w = __shfl_xor_sync(kAllLanes, sum.w, mask);
      return p;
    }
  };

  // Until every split of the head has left its sums.
  GEMMA_DEVICE void MeetSplits() const {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      atomicAdd(&p_.counters[head_].left, 1u);
      Spin spin;
      while (LoadAcquire(&p_.counters[head_].left) < static_cast<uint32_t>(active_)) spin.Pause();
    }
    __syncthreads();
  }

  // The last split to have read all puts the counters back.
  GEMMA_DEVICE void Leave() const {
    if (threadIdx.x != 0) return;
    SplitCounters& counters = p_.counters[head_];
    if (atomicAdd(&counters.read, 1u) + 1 == static_cast<uint32_t>(active_))
      counters.left = counters.read = 0;
  }

  // The order of additions depends on the number of splits alone.
  GEMMA_DEVICE void CombinePiece(int piece, bool mine) const {
    const int row = piece / kPieces, column = piece % kPieces * 4;
    Partial all;
#pragma unroll 5
    for (int s = Lane() % kLanes; s < active_; s += kLanes) {
      Partial one;
      const float2 total = LoadFromL2(reinterpret_cast<const float2*>(Totals(s) + row));
      one.largest = total.x, one.weight = total.y;
      one.sum = LoadFromL2(reinterpret_cast<const float4*>(Sums(s) + row * kHeadDim + column));
      all.Add(one);
    }
#pragma unroll
    for (int mask = 1; mask < kLanes; mask *= 2) {
      const Partial other = all.OfLane(mask);
      all.Add(other);
    }
    if (!mine || Lane() % kLanes != 0) return;
    const float factor = 1.0f / all.weight;
    Store(row, column, all.sum.x * factor, all.sum.y * factor);
    Store(row, column + 2, all.sum.z * factor, all.sum.w * factor);
  }

  const AttentionParams& p_;
  const int head_;
  const int split_;
  const int active_;
  const int group_;
  const int rows_;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_DECODE_COMBINE_H_
