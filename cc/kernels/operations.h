// What each operation computes: its operands, shapes and formula. The references (reference.h) and
// the CPU kernels (cpu/kernels.h) take these structs; a struct is plain pointers and numbers, and
// whoever fills it has checked them (the kernels do not). All activations are float32, row-major
// and contiguous: one row per token.
#ifndef CC_KERNELS_OPERATIONS_H_
#define CC_KERNELS_OPERATIONS_H_

#include <cstddef>
#include <cstdint>

#include "cc/kernels/cache_type.h"
#include "cc/kernels/limits.h"
#include "cc/kernels/sampling_params.h"
#include "cc/kernels/weight_layout.h"

namespace gemma {

// out[t] = scale * weight[ids[t]]. Every id is in [0, weight.rows).
struct Embed {
  WeightView weight;             // [vocab, columns]
  const int64_t* ids = nullptr;  // [tokens]
  int64_t tokens = 0;
  float scale = 1;
  float* out = nullptr;  // [tokens, columns]
};

// y = in / sqrt(mean(in^2) + epsilon) * weight over each `width` columns;  out = (add + y) *
// scalar. `out` may be `in` or `add`.
struct RmsNorm {
  const float* in = nullptr;      // [tokens, columns]
  const float* weight = nullptr;  // [width]; null: ones
  const float* add = nullptr;     // [tokens, columns]; null: zeros
  int64_t tokens = 0;
  int64_t columns = 0;
  int64_t width = 0;  // divides columns
  float epsilon = 0;
  float scalar = 1;
  float* out = nullptr;  // [tokens, columns]
};

// out = in * transpose(weight). Weights enter
// with the exact value that they store; sums are float32.
struct Linear {
  WeightView weight;          // [rows, columns]
  const float* in = nullptr;  // [tokens, columns]
  int64_t tokens = 0;
  float* out = nullptr;  // [tokens, rows]; does not overlap `in`
};

// Keys and values of one layer: each [kv_heads, capacity, head_dim];
// position p lies in slot p mod capacity.
struct KvCache {
  void* keys = nullptr;
  void* values = nullptr;
  CacheType type = CacheType::kF32;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;  // even, at most kMaxHeadDim
  int64_t capacity = 0;  // positions held: >= min(last position + 1, window - 1 + tokens of a call)
  int64_t window = 0;    // a query at p sees keys in (p - window, p]; 0: all keys in [0, p]
};

// For every token and head, norm(z) = z / sqrt(mean(z^2) + epsilon) over head_dim:
// q <- rope(norm(q) * q_norm) to `out`; k <- rope(norm(k) * k_norm) and v <- norm(v) (or v as it
// is) to the cache. rope turns the pair (i, i + head_dim / 2) by the angle position *
// frequencies[i], a float32 product as in transformers.
struct PrepareAttention {
  const float* q = nullptr;            // [tokens, heads * head_dim]
  const float* k = nullptr;            // [tokens, kv_heads * head_dim]
  const float* v = nullptr;            // as k; null: values come from k, before its norm and rope
  const float* q_norm = nullptr;       // [head_dim]
  const float* k_norm = nullptr;       // [head_dim]
  const float* frequencies = nullptr;  // [head_dim / 2]
  bool normalize_v = false;
  float epsilon = 0;
  int64_t heads = 0;
  int64_t tokens = 0;
  int64_t start = 0;  // position of the first token
  KvCache cache;
  float* out = nullptr;  // [tokens, heads * head_dim]; may be `q`
  // Where not null: raised to the largest magnitude of the keys and values, before they are rounded
  // to the cache's type (beyond LargestOf(cache.type) they become infinite). One for each slice.
  float* largest = nullptr;
};

// out = softmax(scale * q . keys) values over the keys that each query sees. The keys of the call's
// own tokens are in the cache already. heads is a multiple of kv_heads; head h reads kv head h /
// (heads / kv_heads).
struct Attention {
  const float* q = nullptr;  // [tokens, heads * head_dim]
  int64_t heads = 0;
  int64_t tokens = 0;
  int64_t start = 0;  // position of the first token
  float scale = 1;
  KvCache cache;
  float* out = nullptr;  // [tokens, heads * head_dim]; may be `q`
};

// out = gelu(gate) * up, with gelu(z) = z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 z^3))).
// `out` may be an input.
struct GatedGelu {
  const float* gate = nullptr;
  const float* up = nullptr;
  int64_t size = 0;  // elements
  float* out = nullptr;
};

// out = a + b. `out` may be an input.
struct Add {
  const float* a = nullptr;
  const float* b = nullptr;
  int64_t size = 0;  // elements
  float* out = nullptr;
};

// out = cap * tanh(in / cap). `out` may be `in`.
struct Softcap {
  const float* in = nullptr;
  int64_t size = 0;  // elements
  float cap = 0;     // > 0
  float* out = nullptr;
};

// One token id drawn from the logits. A NaN logit is never drawn (it counts as minus infinity).
// Where the largest logit is infinite, it is drawn, whatever the temperature.
struct Sample {
  const float* logits = nullptr;  // [vocab]
  int64_t vocab = 0;
  SamplingParams sampling;
  uint64_t position = 0;  // of the drawn token
};

// Per row: log softmax(logits)[target] (NaN where target is -1), and the `top` most likely ids with
// their log probabilities, most likely first; of equals, the lower id first.
struct Score {
  const float* logits = nullptr;     // [tokens, vocab]
  const int64_t* targets = nullptr;  // [tokens], in [-1, vocab)
  int64_t tokens = 0;
  int64_t vocab = 0;
  int64_t top = 0;                // at most kMaxScoreTop and vocab
  float* logprobs = nullptr;      // [tokens]
  int64_t* top_ids = nullptr;     // [tokens, top]
  float* top_logprobs = nullptr;  // [tokens, top]
};

}  // namespace gemma

#endif  // CC_KERNELS_OPERATIONS_H_
