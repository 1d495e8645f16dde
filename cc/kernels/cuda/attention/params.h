// What the attention kernels are passed, and their launchers.
#ifndef CC_KERNELS_CUDA_ATTENTION_PARAMS_H_
#define CC_KERNELS_CUDA_ATTENTION_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace gemma::cuda {

// Keys and values of one layer in device memory, float16; position p lies in slot p mod capacity.
//
// rotated = 0: keys and values are each [kv_heads, capacity, head_dim].
// rotated = R: keys follow from the values, because both come from one projection: k = rope(v *
// k_norm), where rope turns
//   only R of the head_dim dimensions (frequencies past R / 2 are zero). `values` is then
//   [kv_heads, capacity, head_dim + R]: a position's v, then the R turned dimensions of k, first
//   halves (0 to R / 2 - 1), then second halves; `keys` is null. The other dimensions of k are v *
//   k_norm, and the query takes up the k_norm. 37.5 % less memory and reading for R = 128 of 512.
// paired: keys and queries are sums of two float16, the nearest one and what it leaves: rows of
//   2 * head_dim, first all nearest numbers, then the rests (which need no scale: keys are normed).
//   Values are float16 all the same. Attention's output is pairs too (activation.h). rotated is 0.
struct DeviceCache {
  uint16_t* keys = nullptr;
  uint16_t* values = nullptr;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t capacity = 0;
  int32_t window = 0;  // a query at p sees keys in (p - window, p]; 0: all keys in [0, p]
  int32_t rotated = 0;
  bool paired = false;
};

// Elements of a query, and of what it is multiplied with: head_dim, and `rotated` more, or twice as
// many where paired.
constexpr int ScoreColumns(const DeviceCache& cache) {
  return (cache.paired ? 2 : 1) * cache.head_dim + cache.rotated;
}

// From projections to queries and cache rows; what PrepareAttention in cc/kernels/operations.h
// defines.
struct PrepareParams {
  const void* q = nullptr;        // [tokens, heads * head_dim]; see half_in
  const void* k = nullptr;        // [tokens, kv_heads * head_dim]
  const void* v = nullptr;        // as k; null: values come from k
  bool half_in = false;           // projections are float16 with kActivationScale, else float32
  const float* q_norm = nullptr;  // [head_dim]
  const float* k_norm = nullptr;  // [head_dim]
  const float* frequencies = nullptr;  // [head_dim / 2]
  bool normalize_v = false;
  float epsilon = 0;
  int32_t heads = 0;
  int32_t tokens = 0;
  const int64_t* start = nullptr;  // device memory: position of the first token
  DeviceCache cache;
};

struct AttentionParams {
  PrepareParams prepare;        // decode kernels prepare their own queries, keys and values
  const uint16_t* q = nullptr;  // the others read prepared ones: [tokens, heads, ScoreColumns]
  float scale = 1;
  uint16_t* out = nullptr;  // float16 with kActivationScale [tokens, heads * head_dim], or pairs
  int32_t splits = 1;       // of the context (decode)
  int32_t ring_stages = 0;
  float* partials = nullptr;     // [kv_heads * splits][rows][head_dim + 2]
  uint32_t* counters = nullptr;  // [kv_heads], 0 between launches
};

struct AttentionLaunch {
  bool overlap = false;
  cudaStream_t stream = nullptr;
};

inline constexpr int kAttentionWarps = 8;
inline constexpr int kMaxDecodeTokens = 8;
inline constexpr int kKeyTile = 32;  // positions that a block works on at once
inline constexpr int kMaxHeadDimension = 512;
inline constexpr int kMaxRotated = 128;
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
  int last = 0;  // a flag
  int bytes = 0;
  int stage_bytes = 0;
};
inline constexpr int kScoreRow = kKeyTile + 4;         // floats
inline constexpr int kWeightRow = (kKeyTile + 8) * 2;  // bytes

constexpr DecodeShared DecodeSharedOf(const DeviceCache& cache, int row_tiles, int tokens,
                                      int splits, int ring_stages) {
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
  s.last = s.rotations + tokens * (rotated > 0 ? rotated / 2 : head_dim / 2) * 8;
  // The factors of the splits lie in front of the flag when nothing else is needed any more.
  if (s.last < rows * splits * 4) s.last = rows * splits * 4;
  s.bytes = s.last + 16;
  return s;
}

// True when there is a decode kernel for these head sizes.
constexpr bool HasDecodeKernel(int head_dim, int rotated, bool paired = false) {
  if (paired) return head_dim == 64 || head_dim == 128 || head_dim == 256;
  if (rotated == 0) return head_dim == 64 || head_dim == 128 || head_dim == 256 || head_dim == 512;
  return (head_dim == 512 && rotated == 128) || (head_dim == 64 && rotated == 16);
}

// True when there is a kernel for many tokens for these head sizes (prompt.cu).
constexpr bool HasPromptKernel(int head_dim, int rotated, bool paired) {
  if (paired) return head_dim == 256;
  return (head_dim == 256 && rotated == 0) ||
         (head_dim == 512 && (rotated == 0 || rotated == kMaxRotated));
}

cudaError_t LaunchDecodeAttention(const AttentionParams&, const DecodeShared&,
                                  const AttentionLaunch&);
cudaError_t LaunchPrepareAttention(const PrepareParams&, uint16_t* q_out, const AttentionLaunch&);
// Compute capability 9.0, and sizes for which HasPromptKernel.
cudaError_t LaunchPromptAttention(const AttentionParams&, const AttentionLaunch&);
// Any head size up to kMaxHeadDimension; a block for every query head and token.
cudaError_t LaunchAttentionAnyShape(const AttentionParams&, const AttentionLaunch&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_PARAMS_H_
