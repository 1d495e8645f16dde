#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cc/kernels/cpu/testing/kernel_test.h"
#include "cc/kernels/reference.h"
#include "cc/kernels/testing/error_report.h"
#include "cc/kernels/testing/random_weight.h"

namespace gemma::cpu {
namespace {

struct Shape {
  int64_t heads, kv_heads, head_dim, window, capacity;
  CacheType type;
};

std::string Describe(const Shape& s, int64_t start, int64_t tokens) {
  return std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " heads of " +
         std::to_string(s.head_dim) + ", window " + std::to_string(s.window) + ", capacity " +
         std::to_string(s.capacity) + ", " + CacheTypeName(s.type) + ", tokens [" +
         std::to_string(start) + ", " + std::to_string(start + tokens) + ")";
}

// A cache with memory. Slots that were never written hold NaN, so reading one shows.
class TestCache {
 public:
  explicit TestCache(const Shape& s) : keys_(Bytes(s), std::byte{0xff}), values_(keys_) {
    cache = {keys_.data(), values_.data(), s.type, s.kv_heads, s.head_dim, s.capacity, s.window};
  }
  TestCache(const TestCache& other)
      : cache(other.cache), keys_(other.keys_), values_(other.values_) {
    cache.keys = keys_.data();
    cache.values = values_.data();
  }

  KvCache cache;
  const std::vector<std::byte>& keys() const { return keys_; }
  const std::vector<std::byte>& values() const { return values_; }

 private:
  static size_t Bytes(const Shape& s) {
    return s.kv_heads * s.capacity * s.head_dim * CacheElementBytes(s.type);
  }

  std::vector<std::byte> keys_;
  std::vector<std::byte> values_;
};

// Inputs of a prepare step.
struct PrepareInputs {
  PrepareInputs(const Shape& s, int64_t tokens, uint32_t seed)
      : q(RandomFloats(tokens * s.heads * s.head_dim, seed)),
        k(RandomFloats(tokens * s.kv_heads * s.head_dim, seed + 1)),
        v(RandomFloats(tokens * s.kv_heads * s.head_dim, seed + 2)),
        q_norm(RandomFloats(s.head_dim, 7)),
        k_norm(RandomFloats(s.head_dim, 8)),
        frequencies(s.head_dim / 2) {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      frequencies[i] =
          std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(s.head_dim));
    }
    if (frequencies.size() > 2) frequencies.back() = 0;  // as on the layers that turn a part only
  }

  PrepareAttention Op(const Shape& s, const KvCache& cache, int64_t start, int64_t tokens,
                      float* out) const {
    return {.q = q.data(),
            .k = k.data(),
            .v = v.data(),
            .q_norm = q_norm.data(),
            .k_norm = k_norm.data(),
            .frequencies = frequencies.data(),
            .epsilon = 1e-6f,
            .heads = s.heads,
            .tokens = tokens,
            .start = start,
            .cache = cache,
            .out = out};
  }

  std::vector<float> q, k, v, q_norm, k_norm, frequencies;
};

class PrepareAttentionTest : public KernelTest {};

TEST_P(PrepareAttentionTest, MatchesReference) {
  ErrorReport queries(Named("prepared queries"));
  ErrorReport keys(Named("prepared keys and values"));
  for (const Shape& s : std::vector<Shape>{{4, 1, 256, 16, 24, CacheType::kF32},
                                           {8, 4, 512, 0, 300000, CacheType::kF32},
                                           {3, 3, 6, 0, 40, CacheType::kF32}}) {
    for (const int64_t start :
         {int64_t{0}, int64_t{23}, s.capacity > 100 ? int64_t{262000} : int64_t{37}}) {
      const int64_t tokens = 3;
      if (s.kv_heads * s.capacity * s.head_dim > (1 << 28) && start == 23) continue;
      Shape small = s;
      small.capacity = std::min<int64_t>(s.capacity, 64);
      const PrepareInputs inputs(small, tokens, 1);
      TestCache cache(small), expected_cache(small);
      std::vector<float> out(inputs.q.size()), expected(out.size());
      for (bool normalize_v : {false, true}) {
        PrepareAttention op = inputs.Op(small, cache.cache, start, tokens, out.data());
        op.normalize_v = normalize_v;
        if (normalize_v) op.v = nullptr;  // values from the keys
        ForSlices(3, [&](Slice slice) { kernels().prepare_attention(op, slice); });
        op.cache = expected_cache.cache;
        op.out = expected.data();
        reference::Compute(op);
        queries.AddAll(out, expected, 1e-6, Describe(small, start, tokens));
        const int64_t size = small.kv_heads * small.capacity * small.head_dim;
        for (auto [plane, expected_plane] :
             {std::pair{cache.cache.keys, expected_cache.cache.keys},
              std::pair{cache.cache.values, expected_cache.cache.values}}) {
          for (int64_t i = 0; i < size && !HasFailure(); ++i) {
            const float actual = static_cast<float*>(plane)[i],
                        wanted = static_cast<float*>(expected_plane)[i];
            EXPECT_EQ(std::isnan(actual), std::isnan(wanted)) << "slot of element " << i;
            if (!std::isnan(wanted))
              keys.Add(actual, wanted, 1e-6 * 8, Describe(small, start, tokens));
          }
        }
      }
    }
  }
}

float Number(const KvCache& cache, const void* plane, int64_t index) {
  return reference::ReadNumber(NumbersOf(cache.type), static_cast<const std::byte*>(plane), index);
}

float Rounded(float value, CacheType type) {
  std::byte bytes[4];
  reference::WriteNumber(NumbersOf(type), value, bytes, 0);
  return reference::ReadNumber(NumbersOf(type), bytes, 0);
}

// In a cache of 16 bits lies the rounded value; the F32 kernel's result says which.
TEST_P(PrepareAttentionTest, NarrowCachesHoldTheRoundedValue) {
  const Shape wide{2, 2, 22, 0, 8, CacheType::kF32};
  for (const CacheType type : kCacheTypes) {
    Shape narrow = wide;
    narrow.type = type;
    const PrepareInputs inputs(wide, 5, 3);
    TestCache wide_cache(wide), narrow_cache(narrow);
    std::vector<float> out(inputs.q.size());
    kernels().prepare_attention(inputs.Op(wide, wide_cache.cache, 0, 5, out.data()), {});
    kernels().prepare_attention(inputs.Op(narrow, narrow_cache.cache, 0, 5, out.data()), {});
    for (int64_t i = 0; i < 2 * 8 * 22; ++i) {
      if (i / 22 % 8 >= 5) continue;
      const KvCache &w = wide_cache.cache, &n = narrow_cache.cache;
      EXPECT_EQ(Number(n, n.keys, i), Rounded(Number(w, w.keys, i), type));
      EXPECT_EQ(Number(n, n.values, i), Rounded(Number(w, w.values, i), type));
    }
  }
}

// Numbers of every size: ties, the largest, those that become infinite, subnormals, NaN. Values
// that are not normalized are stored as they come.
TEST_P(PrepareAttentionTest, StoresNumbersOfEverySize) {
  const std::vector<float> numbers = {0,
                                      -0.0f,
                                      1 + 0x1p-11f,
                                      1 + 0x3p-11f,
                                      65504,
                                      65519.996f,
                                      65520,
                                      -65520,
                                      1e6f,
                                      -1e38f,
                                      0x1p-14f,
                                      0x1.ffcp-15f,
                                      0x1p-24f,
                                      0x1p-25f,
                                      0x1.8p-25f,
                                      0x1.8p-24f,
                                      -0x1.4p-23f,
                                      3e-8f,
                                      1e-30f,
                                      -3.14159f,
                                      std::numeric_limits<float>::infinity(),
                                      std::nanf("")};
  const auto size = static_cast<int64_t>(numbers.size());
  for (const CacheType type : kCacheTypes) {
    const Shape s{1, 1, size, 0, 1, type};
    PrepareInputs inputs(s, 1, 3);
    inputs.v = numbers;
    TestCache cache(s);
    std::vector<float> out(inputs.q.size());
    kernels().prepare_attention(inputs.Op(s, cache.cache, 0, 1, out.data()), {});
    for (int64_t i = 0; i < size; ++i) {
      const float expected = Rounded(numbers[i], type);
      const float actual = Number(cache.cache, cache.cache.values, i);
      EXPECT_EQ(std::isnan(actual), std::isnan(expected)) << numbers[i];
      if (std::isnan(expected)) continue;
      EXPECT_EQ(actual, expected) << numbers[i];
      EXPECT_EQ(std::signbit(actual), std::signbit(expected)) << numbers[i];
    }
  }
}

TEST_P(PrepareAttentionTest, ReportsTheLargestMagnitude) {
  const Shape s{2, 1, 22, 0, 8, CacheType::kF16};
  PrepareInputs inputs(s, 3, 3);
  inputs.v[2 * 22 + 21] = -70000;  // in the last vector's rest
  TestCache cache(s);
  std::vector<float> out(inputs.q.size());
  PrepareAttention op = inputs.Op(s, cache.cache, 0, 3, out.data());
  float largest[2] = {};
  for (int index = 0; index < 2; ++index) {
    op.largest = &largest[index];
    kernels().prepare_attention(op, {index, 2});
  }
  EXPECT_LT(largest[0], 100);
  EXPECT_EQ(largest[1], 70000);
}

GEMMA_TEST_ALL_ISAS(PrepareAttentionTest);

class AttentionTest : public KernelTest {
 protected:
  // Writes the keys and values of positions [0, end) as a session would, in chunks.
  static void FillCache(const Shape& s, const KvCache& cache, int64_t begin, int64_t end) {
    for (int64_t position = begin; position < end; ++position) {
      for (int64_t h = 0; h < s.kv_heads; ++h) {
        const auto seed = static_cast<uint32_t>(position * 64 + h);
        Put(cache, cache.keys, h, position, RandomFloats(s.head_dim, 2 * seed + 1));
        Put(cache, cache.values, h, position, RandomFloats(s.head_dim, 2 * seed + 2));
      }
    }
  }

  static void Put(const KvCache& cache, void* plane, int64_t head, int64_t position,
                  const std::vector<float>& z) {
    const int64_t offset = (head * cache.capacity + position % cache.capacity) * cache.head_dim;
    for (int64_t i = 0; i < cache.head_dim; ++i) {
      reference::WriteNumber(NumbersOf(cache.type), z[i], static_cast<std::byte*>(plane),
                             offset + i);
    }
  }

  void Check(const Shape& s, const KvCache& cache, int64_t start, int64_t tokens,
             ErrorReport& report) {
    const std::vector<float> q =
        RandomFloats(tokens * s.heads * s.head_dim, static_cast<uint32_t>(start + tokens));
    std::vector<float> out = q, expected(q.size());  // in place
    const float scale = 1.5f / std::sqrt(static_cast<float>(s.head_dim));
    Attention op{out.data(), s.heads, tokens, start, scale, cache, out.data()};
    for (int slices : {1, 3}) {
      std::copy(q.begin(), q.end(), out.begin());
      Run(op, slices);
      if (slices == 1) expected = out;
      EXPECT_EQ(out, expected) << "depends on the number of threads: "
                               << Describe(s, start, tokens);
    }
    op.q = q.data();
    op.out = expected.data();
    reference::Compute(op);
    // Scores reach about 6; their float32 sums of head_dim products are off by up to 4e-6 (2^-24 *
    // 6 * 10), and so are the weights that exp makes of them, relative to the result.
    report.AddAll(out, expected, 4e-6, Describe(s, start, tokens));
  }

  void Run(const Attention& op, int slices) {
    const Workspace workspace = TestWorkspace({.threads = slices,
                                               .max_tokens = op.tokens,
                                               .max_heads = op.heads,
                                               .max_head_dim = op.cache.head_dim});
    ForSlices(slices, [&](Slice slice) { kernels().attention(op, workspace, slice); });
    if (AttentionParts(op) > 1) {
      ForSlices(slices, [&](Slice slice) { kernels().merge_attention(op, workspace, slice); });
    }
  }
};

// Chunks of every kind of length, with positions around
// the window's borders and where the ring wraps.
TEST_P(AttentionTest, MatchesReferenceAtWindowBorders) {
  ErrorReport report(Named("attention, window borders"));
  constexpr int64_t kWindow = 16;
  for (int64_t tokens : {1, 2, 8, 9, 15, 16, 17, 33}) {
    for (const CacheType type : kCacheTypes) {
      const Shape s{4, 2, 32, kWindow, kWindow - 1 + tokens, type};
      TestCache cache(s);
      for (int64_t start = 0; start < 5 * kWindow; start += tokens) {
        FillCache(s, cache.cache, start, start + tokens);
        Check(s, cache.cache, start, tokens, report);
      }
    }
  }
}

// The models' head sizes, head groups and windows; long contexts, which are cut into parts.
TEST_P(AttentionTest, MatchesReferenceForModelShapes) {
  ErrorReport report(Named("attention, model shapes"));
  for (const Shape& s : std::vector<Shape>{{4, 1, 256, 300, 340, CacheType::kF32},
                                           {4, 2, 256, 128, 192, CacheType::kBF16},
                                           {4, 2, 256, 128, 192, CacheType::kF16},
                                           {8, 1, 512, 0, 400, CacheType::kBF16},
                                           {8, 1, 512, 0, 400, CacheType::kF16},
                                           {5, 1, 512, 0, 400, CacheType::kF32},
                                           {3, 3, 66, 0, 400, CacheType::kF32}}) {
    TestCache cache(s);
    FillCache(s, cache.cache, 0, 400);
    for (int64_t tokens : {1, 3, 37}) {
      const int64_t most = s.window == 0 ? s.capacity : s.capacity - s.window + 1;
      if (tokens <= most) Check(s, cache.cache, 400 - tokens, tokens, report);
    }
  }
}

// Head sizes that fill no vector and no panel.
TEST_P(AttentionTest, OddHeadSizesMatchReference) {
  ErrorReport report(Named("attention, odd head sizes"));
  for (int64_t head_dim : {2, 4, 14, 18, 30, 34, 62, 130, 510}) {
    for (const CacheType type : kCacheTypes) {
      const Shape s{3, 1, head_dim, 0, 90, type};
      TestCache cache(s);
      FillCache(s, cache.cache, 0, 90);
      for (int64_t tokens : {1, 7, 11}) Check(s, cache.cache, 90 - tokens, tokens, report);
    }
  }
}

// Scores of hundreds: the softmax must neither overflow nor lose the largest.
TEST_P(AttentionTest, LargeScoresAreExact) {
  const Shape s{1, 1, 16, 0, 200, CacheType::kF32};
  TestCache cache(s);
  FillCache(s, cache.cache, 0, 200);
  for (int64_t tokens : {1, 16}) {
    std::vector<float> q(tokens * 16);
    const float* key = static_cast<float*>(cache.cache.keys) + 77 * 16;
    for (int64_t i = 0; i < tokens * 16; ++i) q[i] = 100 * key[i % 16];
    std::vector<float> out(q.size());
    Run({q.data(), 1, tokens, 200 - tokens, 1, cache.cache, out.data()}, 2);
    const float* value = static_cast<float*>(cache.cache.values) + 77 * 16;
    for (int64_t i = 0; i < tokens * 16; ++i) EXPECT_FLOAT_EQ(out[i], value[i % 16]);
  }
}

GEMMA_TEST_ALL_ISAS(AttentionTest);

TEST(AttentionPartsTest, FewTokensOfALongContextAreCut) {
  Attention op;
  op.tokens = 1;
  op.start = 99;
  EXPECT_EQ(AttentionParts(op), 1);
  op.start = 511;
  EXPECT_EQ(AttentionParts(op), 4);
  op.start = 100000;
  EXPECT_EQ(AttentionParts(op), 32);
  op.cache.window = 512;
  EXPECT_EQ(AttentionParts(op), 4);
  op.cache.window = 0;
  op.tokens = 8;
  EXPECT_EQ(AttentionParts(op), 4);
  op.tokens = 9;
  EXPECT_EQ(AttentionParts(op), 1);
}

}  // namespace
}  // namespace gemma::cpu
