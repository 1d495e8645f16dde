// Log-probabilities of targets and the most likely ids, a block for each token.
#include <cmath>

#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/sampling/params.h"
#include "cc/kernels/cuda/sampling/rank.h"

namespace gemma::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;

struct ScoreShared {
  RankKey keys[kWarps];
  double sums[kWarps];
};

// The first key in rank below `below`, over the block.
GEMMA_DEVICE RankKey LargestBelow(const float* logits, int vocab, RankKey below,
                                  ScoreShared& shared) {
  RankKey largest = 0;
  for (int id = static_cast<int>(threadIdx.x); id < vocab; id += kThreads) {
    const RankKey key = RankKeyOf(logits[id], id);
    if (key < below && key > largest) largest = key;
  }
  largest = WarpLargest(largest);
  __syncthreads();
  if (Lane() == 0) shared.keys[WarpIndex()] = largest;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) largest = shared.keys[w] > largest ? shared.keys[w] : largest;
  return largest;
}

GEMMA_DEVICE double SumOfExponentials(const float* logits, int vocab, float largest,
                                      ScoreShared& shared) {
  double sum = 0;
  for (int id = static_cast<int>(threadIdx.x); id < vocab; id += kThreads) {
    const float logit = logits[id];
    if (logit > -INFINITY) sum += exp(static_cast<double>(logit) - static_cast<double>(largest));
  }
  for (int mask = kWarp / 2; mask > 0; mask /= 2) sum += __shfl_xor_sync(kAllLanes, sum, mask);
  __syncthreads();
  if (Lane() == 0) shared.sums[WarpIndex()] = sum;
  __syncthreads();
  sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += shared.sums[w];
  return sum;
}

__global__ void __launch_bounds__(kThreads) ScoreKernel(const __grid_constant__ ScoreParams p) {
  GEMMA_SHARED_MEMORY(memory);
  ScoreShared& shared = *reinterpret_cast<ScoreShared*>(memory);
  const int64_t token = blockIdx.x;
  const float* logits = p.logits + token * p.vocab;
  RankKey key = LargestBelow(logits, p.vocab, ~RankKey{0}, shared);
  const double largest = LogitOf(key);
  const double normalizer = largest + log(SumOfExponentials(logits, p.vocab, LogitOf(key), shared));
  for (int i = 0; i < p.top; ++i) {
    if (threadIdx.x == 0) {
      p.top_ids[token * p.top + i] = IdOf(key);
      p.top_logprobs[token * p.top + i] =
          static_cast<float>(static_cast<double>(LogitOf(key)) - normalizer);
    }
    key = LargestBelow(logits, p.vocab, key, shared);
  }
  if (threadIdx.x == 0) {
    const int64_t target = p.targets[token];
    p.logprobs[token] =
        target < 0 ? NAN : static_cast<float>(static_cast<double>(logits[target]) - normalizer);
  }
}

}  // namespace

cudaError_t LaunchScore(const ScoreParams& params, cudaStream_t stream) {
  const LaunchShape shape{dim3(static_cast<unsigned>(params.tokens)), kThreads, sizeof(ScoreShared),
                          false, stream};
  return Launch(ScoreKernel, shape, params);
}

}  // namespace gemma::cuda
