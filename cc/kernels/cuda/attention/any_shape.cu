// Attention for head sizes that have no kernel of their own: a block for each token and query head.
// Each warp takes every eighth position with its own running softmax; the warps' results are merged
// at the end.
#include <cmath>

#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/attention/rope.h"

namespace gemma::cuda {
namespace {

constexpr int kThreads = kAttentionWarps * kWarp;
constexpr int kColumnsALane = kMaxHeadDimension / kWarp;
constexpr int kScoreColumnsALane = (kMaxHeadDimension + kMaxRotated) / kWarp;

// Number c of a query or key: where paired, a sum.
GEMMA_DEVICE float ScoreNumber(const DeviceCache& cache, const uint16_t* row, int c) {
  const float nearest = HalfBitsToFloat(row[c]);
  return cache.paired ? nearest + HalfBitsToFloat(row[cache.head_dim + c]) : nearest;
}

__global__ void __launch_bounds__(kThreads)
    AnyShapeKernel(const __grid_constant__ AttentionParams p) {
  GEMMA_SHARED_MEMORY(shared);
  const DeviceCache& cache = p.prepare.cache;
  const int head_dim = cache.head_dim, heads = p.prepare.heads;
  float* const merged = reinterpret_cast<float*>(shared);  // [warps][head_dim + 2]
  const int token = static_cast<int>(blockIdx.x) / heads,
            head = static_cast<int>(blockIdx.x) % heads;
  const int kv_head = head / (heads / cache.kv_heads);
  const int position = static_cast<int>(*p.prepare.start) + token;
  WaitForPreviousKernel();
  LetNextKernelStart();
  const int64_t row = static_cast<int64_t>(token) * heads + head;
  const int stride = ScoreColumns(cache), columns = head_dim + cache.rotated;
  const int value_stride = cache.paired ? head_dim : stride;
  const uint16_t* const keys = cache.rotated > 0 ? cache.values : cache.keys;
  float q[kScoreColumnsALane], sum[kColumnsALane] = {};
#pragma unroll
  for (int i = 0; i < kScoreColumnsALane; ++i) {
    const int c = Lane() + kWarp * i;
    q[i] = c < columns ? ScoreNumber(cache, p.q + row * stride, c) : 0;
  }
  float largest = -INFINITY, total = 0;
  for (int key = FirstVisible(cache, position) + WarpIndex(); key <= position;
       key += kAttentionWarps) {
    const int64_t slot = SlotOf(cache, kv_head, key);
    float score = 0;
#pragma unroll
    for (int i = 0; i < kScoreColumnsALane; ++i) {
      const int c = Lane() + kWarp * i;
      if (c < columns) score += q[i] * ScoreNumber(cache, keys + slot * stride, c);
    }
    score = WarpSum(score) * p.scale;
    const float next = fmaxf(largest, score);
    const float rescale = expf(largest - next), weight = expf(score - next);
    total = total * rescale + weight;
    largest = next;
#pragma unroll
    for (int i = 0; i < kColumnsALane; ++i) {
      const int c = Lane() + kWarp * i;
      if (c < head_dim)
        sum[i] = sum[i] * rescale + weight * HalfBitsToFloat(cache.values[slot * value_stride + c]);
    }
  }
  float* const mine = merged + WarpIndex() * (head_dim + 2);
#pragma unroll
  for (int i = 0; i < kColumnsALane; ++i) {
    if (Lane() + kWarp * i < head_dim) mine[Lane() + kWarp * i] = sum[i];
  }
  if (Lane() == 0) mine[head_dim] = largest, mine[head_dim + 1] = total;
  __syncthreads();
  float top = -INFINITY, all = 0;
  for (int w = 0; w < kAttentionWarps; ++w) top = fmaxf(top, merged[w * (head_dim + 2) + head_dim]);
  for (int w = 0; w < kAttentionWarps; ++w) {
    const float* other = merged + w * (head_dim + 2);
    all += expf(other[head_dim] - top) * other[head_dim + 1];
  }
  for (int c = static_cast<int>(threadIdx.x); c < head_dim; c += kThreads) {
    float value = 0;
    for (int w = 0; w < kAttentionWarps; ++w) {
      const float* other = merged + w * (head_dim + 2);
      value += expf(other[head_dim] - top) * other[c];
    }
    value *= kActivationScale / all;
    uint16_t* const to = p.out + (cache.paired ? 2 * token * heads + head : row) * head_dim + c;
    to[0] = static_cast<uint16_t>(PackHalf(value, 0));
    if (cache.paired)
      to[heads * head_dim] = static_cast<uint16_t>(PackHalf(kPairScale * HalfRest(value), 0));
  }
}

}  // namespace

cudaError_t LaunchAttentionAnyShape(const AttentionParams& p, const AttentionLaunch& launch) {
  const DeviceCache& cache = p.prepare.cache;
  const LaunchShape shape{dim3(static_cast<unsigned>(p.prepare.tokens * p.prepare.heads)), kThreads,
                          sizeof(float) * kAttentionWarps * static_cast<size_t>(cache.head_dim + 2),
                          launch.overlap, launch.stream};
  return Launch(AnyShapeKernel, shape, p);
}

}  // namespace gemma::cuda
