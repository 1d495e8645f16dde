// What the attention kernels are passed, and their launchers.
#ifndef CC_KERNELS_CUDA_ATTENTION_PARAMS_H_
#define CC_KERNELS_CUDA_ATTENTION_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cc/kernels/cuda/device/launch_options.h"
#include "cc/kernels/cuda/device/prefetch.h"
#include "cc/kernels/limits.h"

namespace gemma::cuda {

// How a layer's keys and values lie in device memory.
enum class CacheForm : uint8_t {
  // Keys and values are each [kv_heads, capacity, head_dim], float16.
  kSeparate,
  // The layer has no v projection, so k = rope(v * k_norm), and only R = rotated of head_dim
  // dimensions rotate (frequencies past R / 2 are zero). `values` is [kv_heads, capacity,
  // head_dim + R]: v, then those R dimensions of k, first halves (0 to R / 2 - 1), then second
  // halves; `keys` is null. The other dimensions of k are v * k_norm, and the query takes up the
  // k_norm. Saves 37.5 % of memory and reading at R = 128 of 512.
  kShared,
  // Keys and queries are pairs hi + lo (number.h; lo without a scale, since keys are normed):
  // rows of 2 * head_dim, hi, then lo. Values are float16, and attention's output is pairs.
  kPairs,
};

// Keys and values of one layer in device memory; position p lies in slot p mod capacity.
struct DeviceCache {
  uint16_t* keys = nullptr;
  uint16_t* values = nullptr;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t capacity = 0;
  int32_t window = 0;  // a query at p sees keys in (p - window, p]; 0: all keys in [0, p]
  CacheForm form = CacheForm::kSeparate;
  int32_t rotated = 0;  // of kShared
};

// Elements of a query, and of what it is multiplied with: head_dim, and `rotated` more, or twice as
// many of pairs.
constexpr int ScoreColumns(const DeviceCache& cache) {
  return (cache.form == CacheForm::kPairs ? 2 : 1) * cache.head_dim + cache.rotated;
}

// The head sizes that have kernels of their own: predicates and dispatch follow from this table.
// Other sizes take the fallback kernels (any_shape.cu).
struct HeadSizes {
  int head_dim;
  CacheForm form;
  int rotated;
  bool prompts;  // kernels for many tokens too (prompt.cu, prompt_mma.cu)
};
inline constexpr HeadSizes kHeadSizes[] = {
    {64, CacheForm::kSeparate, 0, false}, {128, CacheForm::kSeparate, 0, false},
    {256, CacheForm::kSeparate, 0, true}, {512, CacheForm::kSeparate, 0, true},
    {64, CacheForm::kShared, 16, false},  {512, CacheForm::kShared, 128, true},
    {64, CacheForm::kPairs, 0, false},    {128, CacheForm::kPairs, 0, false},
    {256, CacheForm::kPairs, 0, true},
};
inline constexpr int kHeadSizesCount = sizeof(kHeadSizes) / sizeof(kHeadSizes[0]);

constexpr int FindMaxRotated() {
  int most = 0;
  for (const HeadSizes& sizes : kHeadSizes) most = sizes.rotated > most ? sizes.rotated : most;
  return most;
}
inline constexpr int kMaxRotated = FindMaxRotated();

constexpr bool HasSizes(const DeviceCache& cache, const HeadSizes& sizes) {
  return cache.head_dim == sizes.head_dim && cache.form == sizes.form &&
         cache.rotated == sizes.rotated;
}
constexpr bool HasDecodeKernel(const DeviceCache& cache) {
  for (const HeadSizes& sizes : kHeadSizes) {
    if (HasSizes(cache, sizes)) return true;
  }
  return false;
}
constexpr bool HasPromptKernel(const DeviceCache& cache) {
  for (const HeadSizes& sizes : kHeadSizes) {
    if (HasSizes(cache, sizes)) return sizes.prompts;
  }
  return false;
}

// Calls launch.operator()<head_dim, rotated, is_pairs>() for the cache's row of kHeadSizes, of
// those for prompts alone where kPrompts. cudaErrorInvalidValue where there is none.
template <bool kPrompts, int kIndex = 0, typename LaunchHead>
cudaError_t WithHeadSizes(const DeviceCache& cache, LaunchHead launch) {
  if constexpr (kIndex == kHeadSizesCount) {
    return cudaErrorInvalidValue;
  } else {
    constexpr HeadSizes kSizes = kHeadSizes[kIndex];
    if constexpr (kSizes.prompts || !kPrompts) {
      if (HasSizes(cache, kSizes)) {
        return launch.template
        operator()<kSizes.head_dim, kSizes.rotated, kSizes.form == CacheForm::kPairs>();
      }
    }
    return WithHeadSizes<kPrompts, kIndex + 1>(cache, launch);
  }
}

// From projections to queries and cache rows; what PrepareAttention in cc/kernels/operations.h
// defines.
struct PrepareParams {
  const float* q = nullptr;            // [tokens, heads * head_dim]
  const float* k = nullptr;            // [tokens, kv_heads * head_dim]
  const float* v = nullptr;            // as k; null: values come from k
  const float* q_norm = nullptr;       // [head_dim]
  const float* k_norm = nullptr;       // [head_dim]
  const float* frequencies = nullptr;  // [head_dim / 2]
  bool normalize_v = false;
  float epsilon = 0;
  int32_t heads = 0;
  int32_t tokens = 0;
  const int64_t* start = nullptr;  // device memory: position of the first token
  DeviceCache cache;
};

// Of the splits of a kv head: how many have left their sums, and how many have read those of all.
// Zero between launches.
struct SplitCounters {
  uint32_t left;
  uint32_t read;
};

struct AttentionParams {
  PrepareParams prepare;        // decode kernels prepare their own queries, keys and values
  const uint16_t* q = nullptr;  // the others read prepared ones: [tokens, heads, ScoreColumns]
  float scale = 1;
  uint16_t* out = nullptr;  // float16 with kActivationScale [tokens, heads * head_dim], or pairs
  int32_t splits = 1;       // of the context (decode)
  int32_t ring_stages = 0;
  float* partials = nullptr;          // [splits][kv_heads][SplitFloats]
  SplitCounters* counters = nullptr;  // [kv_heads]
  Prefetch prefetch;                  // of decode kernels
};

inline constexpr int kAttentionWarps = 8;
inline constexpr int kKeyTile = 32;  // positions that a block works on at once
inline constexpr int kMaxKvHeads = 256;
inline constexpr int kMaxSplits = 256;
// A split is worth its overhead from this many tiles on.
inline constexpr int kMinTilesPerSplit = 2;

// Rows of queries that one kv head serves: tokens * (heads / kv_heads), in tiles of 16.
constexpr int RowTiles(int rows) { return rows <= 16 ? 1 : rows <= 32 ? 2 : 4; }
inline constexpr int kMaxDecodeRows = 64;

// Offsets in a decode block's shared memory, after the ring.
struct DecodeShared {
  int queries = 0;
  int query_row = 0;  // bytes
  int scores = 0;
  int weights = 0;
  int rescale = 0;
  int new_rows = 0;  // keys and values of the call's own tokens
  int rotations = 0;
  int bytes = 0;
  int stage_bytes = 0;
};
inline constexpr int kScoreRow = kKeyTile + 4;         // floats
inline constexpr int kWeightRow = (kKeyTile + 8) * 2;  // bytes

constexpr DecodeShared DecodeSharedOf(const DeviceCache& cache, int row_tiles, int tokens,
                                      int ring_stages) {
  const int head_dim = cache.head_dim, rotated = cache.rotated;
  // Of keys and values together.
  const int row_columns = rotated > 0 ? head_dim + rotated : ScoreColumns(cache) + head_dim;
  const int rows = 16 * row_tiles;
  DecodeShared s;
  s.stage_bytes = kKeyTile * row_columns * 2;
  s.queries = ring_stages * s.stage_bytes;
  s.query_row = (ScoreColumns(cache) + 8) * 2;  // the 8 puts neighbouring rows into different banks
  s.scores = s.queries + rows * s.query_row;
  s.weights = s.scores + 2 * rows * kScoreRow * 4;
  s.rescale = s.weights + rows * kWeightRow;
  s.new_rows = s.rescale + rows * 4;
  s.rotations = s.new_rows + tokens * row_columns * 2;
  s.bytes = s.rotations + tokens * (rotated > 0 ? rotated / 2 : head_dim / 2) * 8;
  return s;
}

// What a split of the context leaves: [rows][head_dim] sums, then [rows][2] totals
// (decode_combine.h). A multiple of 16 bytes.
constexpr int SplitFloats(int rows, int head_dim) {
  return rows * head_dim + (2 * rows + 3) / 4 * 4;
}

cudaError_t LaunchDecodeAttention(const AttentionParams&, const DecodeShared&,
                                  const LaunchOptions&);
cudaError_t LaunchPrepareAttention(const PrepareParams&, uint16_t* q_out, const LaunchOptions&);
// Tensor cores of Hopper, and sizes for which HasPromptKernel.
cudaError_t LaunchPromptAttention(const AttentionParams&, const LaunchOptions&);
// The same sizes on every GPU but Hopper; `shared_bytes`: that a block may use, 99 KB at least.
cudaError_t LaunchPromptAttentionMma(const AttentionParams&, size_t shared_bytes,
                                     const LaunchOptions&);
// Any head size up to kMaxHeadDim; a block for every query head and token.
cudaError_t LaunchAttentionAnyShape(const AttentionParams&, const LaunchOptions&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_PARAMS_H_
