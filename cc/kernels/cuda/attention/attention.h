// Attention over a key/value cache in device memory.
#ifndef CC_KERNELS_CUDA_ATTENTION_ATTENTION_H_
#define CC_KERNELS_CUDA_ATTENTION_ATTENTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/device/number.h"
#include "cc/kernels/cuda/runtime/context.h"

namespace gemma::cuda {

// The dimensions that rope turns, given its frequencies on the host [head_dim / 2],
// when the keys of a layer without v projection can follow from its values
// (DeviceCache::rotated); else 0: no v projection, values normalized,
// frequencies zero past those dimensions, and a kernel for the sizes.
int SharedCacheRotation(const float* frequencies, int head_dim, bool has_v, bool normalize_v);

// How attention's output is stored: as pairs where the cache's keys are.
constexpr Number AttentionOutput(const DeviceCache& cache) {
  return cache.form == CacheForm::kPairs ? Number::kFloat16Pair : Number::kFloat16;
}

// Bytes of one layer's cache: of keys and values together.
absl::StatusOr<uint64_t> CacheBytes(const DeviceCache& cache);

// Scratch memory for calls of 1 to `tokens` tokens.
Regions AttentionRegions(const Device& device, const DeviceCache& cache, int heads, int64_t tokens);

struct Attention {
  PrepareParams prepare;  // projections, norms, cache, start; everything but `out` in device memory
  float scale = 1;
  // [tokens, heads * head_dim] of AttentionOutput(cache)
  uint16_t* out = nullptr;
  // Prepared queries [tokens, heads, ScoreColumns(cache)], where AttentionNeedsQueries.
  uint16_t* queries = nullptr;
  // Positions that a call may look back on, which the launch is shaped for.
  int64_t max_context = 0;
  // What the next operation of the stream reads first.
  Prefetch prefetch;
};

// For the operation before an attention that is prepared like this.
PrefetchCache VisibleCacheOf(const PrepareParams& prepare);

// False when one kernel prepares the queries and attends (1 to 8 tokens and few enough rows).
bool AttentionNeedsQueries(const Attention& op, const Device& device);

// For tests and benchmarks: which kernel RunAttention launches: "decode", "prompt Hopper",
// "prompt Ampere" (every other GPU) or "any shape".
absl::string_view AttentionKernelName(const Attention& op, const Device& device);

// Writes the call's keys and values to the cache and attends. InvalidArgument for shapes that do
// not fit each other, or less scratch memory than AttentionRegions.
absl::Status RunAttention(const Attention& op, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_ATTENTION_H_
