#include "cc/kernels/cuda/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

// Queries, keys, values and softmax weights are rounded to float16 (2^-12 each).
constexpr double kRelative = 1e-3;
constexpr double kEach = 1.2e-2;
// In pairs: values and softmax weights alone.
constexpr double kPairedRelative = 5e-4;
constexpr double kPairedEach = 6e-3;

struct Case {
  int heads = 2;
  int kv_heads = 1;
  int head_dim = 64;
  int window = 0;
  int capacity = 0;      // 0: as small as allowed
  int turned_pairs = 0;  // rope frequencies that are not zero; 0: all
  bool shared = false;   // values come from k, normalized
  bool paired = false;
  int gpu = 9;  // compute capability, under emulation; a real GPU is what it is
  int shared_kb = 227;
};

// One layer's cache on both sides, fed chunk by chunk with random projections.
class Layer {
 public:
  Layer(const Case& c, int max_context, int max_tokens)
      : c_(c),
        random_(static_cast<uint32_t>(c.heads * 7 + c.head_dim + c.window)),
        max_context_(max_context),
        capacity_(c.capacity != 0 ? c.capacity
                  : c.window == 0 ? max_context
                                  : std::min(max_context, c.window - 1 + max_tokens)),
        // Sharp attention, in which pairs are needed: unpaired, errors are up to 1e-2 then.
        scale_(c.paired ? 1.0f : 1.0f / std::sqrt(static_cast<float>(c.head_dim))),
        q_norm_(RandomFloats(static_cast<size_t>(c.head_dim), 1, random_)),
        k_norm_(RandomFloats(static_cast<size_t>(c.head_dim), 1, random_)),
        frequencies_(Frequencies(c)),
        device_q_norm_(q_norm_),
        device_k_norm_(k_norm_),
        device_frequencies_(frequencies_),
        keys_(static_cast<size_t>(c.kv_heads * capacity_ * c.head_dim)),
        values_(keys_.size()),
        context_(c.gpu, c.shared_kb) {
    if (!c.paired) rotated_ = SharedCacheRotation(frequencies_.data(), c.head_dim, !c.shared, true);
    device_keys_.emplace(rotated_ > 0 ? 0 : (c.paired ? 2 : 1) * keys_.size());
    device_values_.emplace(static_cast<size_t>(c.kv_heads * capacity_ * (c.head_dim + rotated_)));
  }

  int rotated() const { return rotated_; }

  // Runs `tokens` tokens from `start` on and compares.
  void Step(int start, int tokens) {
    const size_t q_size = static_cast<size_t>(tokens * c_.heads * c_.head_dim);
    const size_t k_size = static_cast<size_t>(tokens * c_.kv_heads * c_.head_dim);
    const std::vector<float> q = RandomFloats(q_size, 2, random_),
                             k = RandomFloats(k_size, 2, random_),
                             v = RandomFloats(k_size, 2, random_);
    ExpectClose(absl::StrCat("heads ", c_.heads, "/", c_.kv_heads, " of ", c_.head_dim, " window ",
                             c_.window, rotated_ > 0 ? " shared" : "", c_.paired ? " paired" : "",
                             ", ", tokens, " at ", start),
                OnDevice(q, k, v, start, tokens), Expected(q, k, v, start, tokens),
                c_.paired ? kPairedRelative : kRelative, c_.paired ? kPairedEach : kEach);
  }

 private:
  static std::vector<float> Frequencies(const Case& c) {
    std::vector<float> f(static_cast<size_t>(c.head_dim) / 2, 0.0f);
    const size_t turned = c.turned_pairs == 0 ? f.size() : static_cast<size_t>(c.turned_pairs);
    for (size_t i = 0; i < turned; ++i) {
      f[i] = std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(c.head_dim));
    }
    return f;
  }

  std::vector<float> OnDevice(const std::vector<float>& q, const std::vector<float>& k,
                              const std::vector<float>& v, int start, int tokens) {
    const DeviceArray<float> device_q(q), device_k(k), device_v(v);
    const DeviceArray<int64_t> device_start(std::vector<int64_t>{start});
    const DeviceCache cache = {device_keys_->get(),
                               device_values_->get(),
                               c_.kv_heads,
                               c_.head_dim,
                               capacity_,
                               c_.window,
                               c_.paired      ? CacheForm::kPairs
                               : rotated_ > 0 ? CacheForm::kShared
                                              : CacheForm::kSeparate,
                               rotated_};
    DeviceArray<uint16_t> out((c_.paired ? 2 : 1) * q.size());
    DeviceArray<uint16_t> queries(static_cast<size_t>(tokens * c_.heads * ScoreColumns(cache)));
    Attention op;
    op.prepare.q = device_q.get();
    op.prepare.k = device_k.get();
    op.prepare.v = c_.shared ? nullptr : device_v.get();
    op.prepare.q_norm = device_q_norm_.get();
    op.prepare.k_norm = device_k_norm_.get();
    op.prepare.frequencies = device_frequencies_.get();
    op.prepare.normalize_v = true;
    op.prepare.epsilon = 1e-6f;
    op.prepare.heads = c_.heads;
    op.prepare.tokens = tokens;
    op.prepare.start = device_start.get();
    op.prepare.cache = cache;
    op.scale = scale_;
    op.out = out.get();
    op.queries = queries.get();
    op.max_context = max_context_;
    RequireOk(RunAttention(op, context_.get()));
    return c_.paired ? FromPairs(out.Read(), static_cast<size_t>(c_.heads * c_.head_dim))
                     : FromActivations(out.Read());
  }

  std::vector<float> Expected(const std::vector<float>& q, const std::vector<float>& k,
                              const std::vector<float>& v, int start, int tokens) {
    const KvCache cache{keys_.data(), values_.data(), CacheType::kF32, c_.kv_heads,
                        c_.head_dim,  capacity_,      c_.window};
    std::vector<float> prepared(q.size()), out(q.size());
    reference::Compute(PrepareAttention{q.data(), k.data(), c_.shared ? nullptr : v.data(),
                                        q_norm_.data(), k_norm_.data(), frequencies_.data(), true,
                                        1e-6f, c_.heads, tokens, start, cache, prepared.data()});
    reference::Compute(
        gemma::Attention{prepared.data(), c_.heads, tokens, start, scale_, cache, out.data()});
    return out;
  }

  const Case c_;
  std::mt19937 random_;
  const int max_context_;
  const int capacity_;
  const float scale_;
  int rotated_ = 0;
  const std::vector<float> q_norm_, k_norm_, frequencies_;
  const DeviceArray<float> device_q_norm_, device_k_norm_, device_frequencies_;
  std::vector<float> keys_, values_;
  std::optional<DeviceArray<uint16_t>> device_keys_, device_values_;
  TestContext context_;
};

// Chunks that cross tiles of 32 positions, splits and the window.
void RunChunks(const Case& c, const std::vector<int>& chunks) {
  int total = 0, largest = 0;
  for (const int chunk : chunks) total += chunk, largest = std::max(largest, chunk);
  Layer layer(c, total, largest);
  int start = 0;
  for (const int chunk : chunks) {
    layer.Step(start, chunk);
    start += chunk;
  }
}

// On Hopper, and on GPUs without its instructions, with much and with little shared memory.
void RunChunksOnEveryGpu(Case c, const std::vector<int>& chunks) {
  RunChunks(c, chunks);
  c.gpu = 8;
  RunChunks(c, chunks);
  c.shared_kb = 99;
  RunChunks(c, chunks);
}

const std::vector<int> kChunks = {1, 1, 8, 7, 8, 6, 1, 1, 8, 8, 8, 8, 3, 2, 5, 8, 8, 8, 8, 4, 1, 8};

TEST(AttentionTest, FlatCache) {
  RunChunks({.heads = 4, .kv_heads = 1, .head_dim = 64}, kChunks);
  RunChunks({.heads = 4, .kv_heads = 2, .head_dim = 128}, {1, 8, 8, 8, 8, 1, 2});
}

TEST(AttentionTest, SlidingWindowInARing) {
  RunChunks({.heads = 4, .kv_heads = 2, .head_dim = 64, .window = 40}, kChunks);
  RunChunks({.heads = 2, .kv_heads = 1, .head_dim = 256, .window = 33, .capacity = 50}, kChunks);
  RunChunks({.heads = 2, .kv_heads = 2, .head_dim = 64, .window = 1}, {1, 3, 1, 1});
}

TEST(AttentionTest, SharedCache) {
  RunChunks({.heads = 8, .kv_heads = 1, .head_dim = 64, .turned_pairs = 8, .shared = true},
            kChunks);
  RunChunks({.heads = 8, .kv_heads = 1, .head_dim = 512, .turned_pairs = 64, .shared = true},
            {1, 8, 8, 8, 8, 2, 4, 1});
}

TEST(AttentionTest, ManyRows) {
  RunChunks({.heads = 8, .kv_heads = 1, .head_dim = 64}, {8, 3, 8, 8, 8, 4});
  RunChunks({.heads = 8, .kv_heads = 1, .head_dim = 512}, {8, 3, 8});
}

// Values that come from k without a shared cache: every dimension turns.
TEST(AttentionTest, ValuesFromKeys) {
  RunChunks({.heads = 2, .kv_heads = 1, .head_dim = 64, .shared = true}, {3, 8, 8});
}

TEST(AttentionTest, AnyHeadSize) {
  RunChunks({.heads = 4, .kv_heads = 2, .head_dim = 20, .window = 9}, {1, 8, 5, 30, 1});
  RunChunks({.heads = 2, .kv_heads = 1, .head_dim = 96}, {5, 20, 1});
}

TEST(AttentionTest, ManyTokens) {
  RunChunks({.heads = 4, .kv_heads = 2, .head_dim = 64, .window = 40}, {9, 39, 40, 41, 81, 1, 70});
}

TEST(AttentionTest, ManyTokensOnASharedCache) {
  RunChunks({.heads = 4, .kv_heads = 1, .head_dim = 64, .turned_pairs = 8, .shared = true},
            {33, 8, 40, 9, 1});
}

// The kernel for many tokens: several blocks of rows, windows that begin within a block of keys, a
// ring that wraps, and a long cache before the call.
TEST(AttentionTest, Prompt) {
  RunChunksOnEveryGpu({.heads = 4, .kv_heads = 2, .head_dim = 256, .window = 70},
                      {9, 100, 65, 130, 17});
  RunChunksOnEveryGpu({.heads = 3, .kv_heads = 1, .head_dim = 256, .window = 40, .capacity = 200},
                      {63, 129});
  RunChunksOnEveryGpu({.heads = 2, .kv_heads = 1, .head_dim = 256}, {40, 1, 257, 90});
}

TEST(AttentionTest, PromptOnASharedCache) {
  RunChunksOnEveryGpu(
      {.heads = 8, .kv_heads = 1, .head_dim = 512, .turned_pairs = 64, .shared = true},
      {17, 40, 1, 33});
}

TEST(AttentionTest, PromptOfWideHeads) {
  RunChunksOnEveryGpu({.heads = 4, .kv_heads = 2, .head_dim = 512, .window = 30}, {33, 20, 70});
}

// Decode kernels of one, two and four tiles of rows, and several splits.
TEST(AttentionTest, Pairs) {
  RunChunks({.heads = 4, .kv_heads = 1, .head_dim = 64, .paired = true}, kChunks);
  RunChunks({.heads = 4, .kv_heads = 2, .head_dim = 128, .paired = true}, {1, 8, 8, 8, 8, 1, 2});
  RunChunks({.heads = 4, .kv_heads = 1, .head_dim = 256, .window = 33, .paired = true},
            {1, 8, 8, 1, 4, 8, 8, 2, 7});
}

TEST(AttentionTest, PromptInPairs) {
  RunChunksOnEveryGpu({.heads = 4, .kv_heads = 2, .head_dim = 256, .window = 70, .paired = true},
                      {9, 100, 65, 1, 129, 17});
  RunChunksOnEveryGpu(
      {.heads = 3, .kv_heads = 1, .head_dim = 256, .window = 40, .capacity = 200, .paired = true},
      {63, 129});
}

TEST(AttentionTest, AnyHeadSizeInPairs) {
  RunChunks({.heads = 4, .kv_heads = 2, .head_dim = 20, .window = 9, .paired = true},
            {1, 8, 5, 30});
  RunChunks({.heads = 2, .kv_heads = 1, .head_dim = 512, .paired = true}, {5, 9, 1});
  RunChunks({.heads = 4, .kv_heads = 2, .head_dim = 64, .window = 40, .paired = true}, {9, 40, 41});
}

TEST(AttentionTest, SaysWhichKernel) {
  Attention op;
  op.prepare.heads = 32;
  op.prepare.tokens = 9;
  op.prepare.cache.kv_heads = 16;
  op.prepare.cache.head_dim = 256;
  Device device;
  device.compute_major = device.code_major = 9;
  device.multiprocessors = 132;
  device.shared_bytes = 227 << 10;
  EXPECT_EQ(AttentionKernelName(op, device), "prompt Hopper");
  device.code_major = 8;
  EXPECT_EQ(AttentionKernelName(op, device), "prompt Ampere");
  op.prepare.tokens = 1;
  EXPECT_EQ(AttentionKernelName(op, device), "decode");
  op.prepare.tokens = 9;
  op.prepare.cache.head_dim = 128;
  EXPECT_EQ(AttentionKernelName(op, device), "any shape");
}

TEST(AttentionTest, RefusesInASentence) {
  TestContext context;
  Attention op;
  op.prepare.heads = 3;
  op.prepare.tokens = 1;
  op.prepare.cache.kv_heads = 2;
  EXPECT_EQ(RunAttention(op, context.get()).message(),
            "attention: 3 heads do not share 2 key/value heads evenly");
  op.prepare.heads = 4;
  op.prepare.cache.head_dim = 256;
  op.prepare.cache.capacity = 100;
  op.max_context = 128;
  EXPECT_EQ(RunAttention(op, context.get()).message(),
            "attention: a cache of 100 positions is too small for 128");
}

}  // namespace
}  // namespace gemma::cuda
