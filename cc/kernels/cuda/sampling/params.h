// The state of the sampling kernel, and the launchers of sample.cu and score.cu.
#ifndef CC_KERNELS_CUDA_SAMPLING_PARAMS_H_
#define CC_KERNELS_CUDA_SAMPLING_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/cuda/device/launch_options.h"
#include "cc/kernels/sampling_params.h"

namespace gemma::cuda {

#ifdef GEMMA_CUDA_EMULATION
inline constexpr int kSampleBlocks = 8;
#else
inline constexpr int kSampleBlocks = 64;
#endif
inline constexpr int kSampleThreads = 256;
// The threshold of a filter is found 11 bits at a time, of 64: the order-preserving bits of the
// logit, then ~id.
inline constexpr int kDigitBits = 11;
inline constexpr int kDigitBins = 1 << kDigitBits;
inline constexpr int kDigits = 6;

// The most ids that one block draws from alone.
inline constexpr int kMaxListed = kDigitBins / 2;

// Must be zeroed once. Every launch resets histograms, `largest` and `listed`; the barrier counter
// grows monotonically.
struct SampleState {
  uint32_t barrier;
  uint32_t listed;
  unsigned long long list[kMaxListed];  // keys that top_k keeps, in any order
  unsigned long long largest;           // the first key in rank
  unsigned long long block_mass[kSampleBlocks];
  // Of counts for top_k, of probability for top_p.
  unsigned long long histograms[2][kDigits][kDigitBins];
};

// The call's sampling parameters, in device memory so that a captured graph reads new ones.
struct SampleRequest {
  SamplingParams sampling;
  uint64_t position;  // of the drawn token

  bool operator==(const SampleRequest&) const = default;
};

// Ids that are never drawn, in device memory.
struct SuppressedIds {
  const int32_t* ids = nullptr;  // [count], each in [0, vocab)
  int32_t count = 0;
};

struct SampleParams {
  float* logits = nullptr;  // [vocab]; those of suppressed ids become the lowest float
  SuppressedIds suppressed = {};
  int32_t vocab = 0;
  const SampleRequest* request = nullptr;
  SampleState* state = nullptr;
  int64_t* token = nullptr;
};

cudaError_t LaunchSample(const SampleParams&, const LaunchOptions&);

struct ScoreParams {
  const float* logits = nullptr;     // [tokens, vocab]
  const int64_t* targets = nullptr;  // [tokens], in [-1, vocab)
  int32_t tokens = 0;
  int32_t vocab = 0;
  int32_t top = 0;
  float* logprobs = nullptr;      // [tokens]; NaN where the target is -1
  int64_t* top_ids = nullptr;     // [tokens, top]
  float* top_logprobs = nullptr;  // [tokens, top]
};

cudaError_t LaunchScore(const ScoreParams&, const LaunchOptions&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_SAMPLING_PARAMS_H_
