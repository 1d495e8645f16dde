// Attention over a ring cache. Few tokens: the context is cut into parts that threads share, and
// each key is read once for all queries of its head. Many tokens: tiles of kTile queries, whose
// scores and values are products of the same kind as a linear's (tile.inc.h); every query has a
// lane of its own, so the softmax needs no sums across lanes.
//
// The softmax runs block by block over the keys: `largest` is the largest score so far, `total` and
// the output are sums of exp(score - largest), and are rescaled when a larger score turns up.

// The score of a key that a query does not see. Finite,
// so that (masked - masked) is a number; what a query gathers from blocks
// in which it sees nothing is rescaled by exp(kMasked - a real score) = 0.
constexpr float kMasked = -1e30f;

constexpr int kQueriesAtOnce = 4;
constexpr int kKeysAtOnce = kLanes == 16 ? 4 : 2;
constexpr int kValueVectors = kLanes == 16 ? 4 : 2;
constexpr int64_t kScoreBlock = 64;  // keys of a block of the few-token path

inline int64_t FirstVisible(const KvCache& cache, int64_t position) {
  return cache.window == 0 ? 0 : std::max<int64_t>(0, position - cache.window + 1);
}

// The end of the run of positions that starts at `begin`, lies in consecutive slots and has at most
// `most` positions.
inline int64_t RunEnd(const KvCache& cache, int64_t begin, int64_t end, int64_t most) {
  return std::min({end, begin + most, begin + cache.capacity - begin % cache.capacity});
}

// Softmax sums of one query over one part of the context, in the workspace: [tokens][heads][parts].
struct Part {
  float* largest;
  float* total;
  float* out;  // [head_dim]

  Part(const Attention& op, const Workspace& workspace, int64_t token, int64_t head, int64_t parts,
       int64_t part) {
    const int64_t size = op.cache.head_dim + 2;
    largest = workspace.attention_parts() + ((token * op.heads + head) * parts + part) * size;
    total = largest + 1;
    out = largest + 2;
  }
};

// scores[n][k] = q[n] . key k, for kQueries x kKeys.
template <CacheType kType, int kQueries, int kKeys>
inline void ScoreKeys(const float* const* q, const void* keys, int64_t head_dim,
                      float (*scores)[kScoreBlock]) {
  using Key = CacheElements<kType>;
  const auto* key = static_cast<const typename Key::Type*>(keys);
  F sums[kQueries][kKeys] = {};
  int64_t d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    F k[kKeys];
#pragma GCC unroll 4
    for (int j = 0; j < kKeys; ++j) k[j] = Key::Vector(key + j * head_dim + d);
#pragma GCC unroll 4
    for (int n = 0; n < kQueries; ++n) {
      const F query = Load(q[n] + d);
#pragma GCC unroll 4
      for (int j = 0; j < kKeys; ++j) sums[n][j] = Fma(query, k[j], sums[n][j]);
    }
  }
  if (d < head_dim) {
    for (int j = 0; j < kKeys; ++j) {
      const F k = PartOf<Key::kLayout>(key + j * head_dim + d, head_dim - d);
      for (int n = 0; n < kQueries; ++n)
        sums[n][j] = Fma(LoadPart(q[n] + d, head_dim - d), k, sums[n][j]);
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < kQueries; ++n) {
#pragma GCC unroll 4
    for (int j = 0; j < kKeys; ++j) scores[n][j] = Sum(sums[n][j]);
  }
}

// out[n][d] = factor[n] * out[n][d] + sum over k of weights[n][k] * values[k][d], for kWidth
// vectors from d on.
template <CacheType kType, int kQueries, int kWidth>
inline void AddValues(const float (*weights)[kScoreBlock], const float* factors, const void* values,
                      int64_t head_dim, int64_t keys, float* const* out, int64_t d) {
  using Value = CacheElements<kType>;
  const auto* value = static_cast<const typename Value::Type*>(values) + d;
  F sums[kQueries][kWidth];
#pragma GCC unroll 4
  for (int n = 0; n < kQueries; ++n) {
#pragma GCC unroll 4
    for (int i = 0; i < kWidth; ++i) sums[n][i] = Load(out[n] + d + i * kLanes) * Set(factors[n]);
  }
  for (int64_t k = 0; k < keys; ++k) {
    F v[kWidth];
#pragma GCC unroll 4
    for (int i = 0; i < kWidth; ++i) v[i] = Value::Vector(value + k * head_dim + i * kLanes);
#pragma GCC unroll 4
    for (int n = 0; n < kQueries; ++n) {
      const F weight = Set(weights[n][k]);
#pragma GCC unroll 4
      for (int i = 0; i < kWidth; ++i) sums[n][i] = Fma(weight, v[i], sums[n][i]);
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < kQueries; ++n) {
#pragma GCC unroll 4
    for (int i = 0; i < kWidth; ++i) Store(out[n] + d + i * kLanes, sums[n][i]);
  }
}

// The same for the last dimensions, fewer than a vector.
template <CacheType kType, int kQueries>
inline void AddLastValues(const float (*weights)[kScoreBlock], const float* factors,
                          const void* values, int64_t head_dim, int64_t keys, float* const* out,
                          int64_t d) {
  using Value = CacheElements<kType>;
  const auto* value = static_cast<const typename Value::Type*>(values) + d;
  for (int n = 0; n < kQueries; ++n) {
    F sum = LoadPart(out[n] + d, head_dim - d) * Set(factors[n]);
    for (int64_t k = 0; k < keys; ++k) {
      sum =
          Fma(Set(weights[n][k]), PartOf<Value::kLayout>(value + k * head_dim, head_dim - d), sum);
    }
    StorePart(out[n] + d, sum, head_dim - d);
  }
}

template <CacheType kType, int kQueries>
inline void AddAllValues(const float (*weights)[kScoreBlock], const float* factors,
                         const void* values, int64_t head_dim, int64_t keys, float* const* out) {
  int64_t d = 0;
  for (; d + kValueVectors * kLanes <= head_dim; d += kValueVectors * kLanes) {
    AddValues<kType, kQueries, kValueVectors>(weights, factors, values, head_dim, keys, out, d);
  }
  for (; d + kLanes <= head_dim; d += kLanes) {
    AddValues<kType, kQueries, 1>(weights, factors, values, head_dim, keys, out, d);
  }
  if (d < head_dim)
    AddLastValues<kType, kQueries>(weights, factors, values, head_dim, keys, out, d);
}

// Turns one query's scores of a block into exp(score - largest), updates the sums and returns what
// the sums so far were multiplied with. first, last: the block's positions that the query sees,
// counted from the block's start.
inline float SoftmaxBlock(float* scores, int64_t keys, float scale, int64_t first, int64_t last,
                          const Part& part) {
  float largest = kMasked;
  for (int64_t k = 0; k < keys; ++k) {
    scores[k] = k < first || k > last ? kMasked : scores[k] * scale;
    largest = std::max(largest, scores[k]);
  }
  const float before = *part.largest;
  largest = std::max(largest, before);
  F total = Set(0);
  for (int64_t k = 0; k < keys; k += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, keys - k);
    const F e = Exp(LoadUpTo(scores + k, count) - Set(largest));
    StoreUpTo(scores + k, e, count);
    total = total + LoadUpTo(scores + k, count);
  }
  const float factor = std::exp(before - largest);
  *part.total = *part.total * factor + Sum(total);
  *part.largest = largest;
  return factor;
}

// A block of keys in consecutive slots, and the queries of one kv head.
struct KeyBlock {
  int64_t begin;  // positions
  int64_t end;
  int64_t offset;  // of its first key in the cache's planes, in elements
};

template <CacheType kType, int kQueries>
inline void AttendQueries(const Attention& op, const KeyBlock& block, const Part* parts,
                          const float* const* q, const int64_t* positions) {
  using Type = typename CacheElements<kType>::Type;
  const int64_t head_dim = op.cache.head_dim, keys = block.end - block.begin;
  const Type* key = static_cast<const Type*>(op.cache.keys) + block.offset;
  float scores[kQueries][kScoreBlock];
  int64_t k = 0;
  for (; k + kKeysAtOnce <= keys; k += kKeysAtOnce) {
    ScoreKeys<kType, kQueries, kKeysAtOnce>(
        q, key + k * head_dim, head_dim, reinterpret_cast<float (*)[kScoreBlock]>(&scores[0][k]));
  }
  for (; k < keys; ++k) {
    ScoreKeys<kType, kQueries, 1>(q, key + k * head_dim, head_dim,
                                  reinterpret_cast<float (*)[kScoreBlock]>(&scores[0][k]));
  }
  float factors[kQueries];
  float* out[kQueries];
  for (int n = 0; n < kQueries; ++n) {
    const int64_t first = FirstVisible(op.cache, positions[n]) - block.begin;
    factors[n] =
        SoftmaxBlock(scores[n], keys, op.scale, first, positions[n] - block.begin, parts[n]);
    out[n] = parts[n].out;
  }
  AddAllValues<kType, kQueries>(scores, factors,
                                static_cast<const Type*>(op.cache.values) + block.offset, head_dim,
                                keys, out);
}

// Queries [begin, begin + count) of a kv head, numbered token by token, meet one block.
template <CacheType kType>
inline void AttendBlock(const Attention& op, const Workspace& workspace, const KeyBlock& block,
                        int64_t kv_head, int64_t parts, int64_t part) {
  const int64_t group = op.heads / op.cache.kv_heads, queries = op.tokens * group;
  auto attend = [&]<int kQueries>(int64_t begin) {
    const float* q[kQueries];
    int64_t positions[kQueries];
    alignas(Part) std::byte storage[kQueries * sizeof(Part)];
    Part* sums = reinterpret_cast<Part*>(storage);
    for (int n = 0; n < kQueries; ++n) {
      const int64_t token = (begin + n) / group, head = kv_head * group + (begin + n) % group;
      q[n] = op.q + (token * op.heads + head) * op.cache.head_dim;
      positions[n] = op.start + token;
      new (&sums[n]) Part(op, workspace, token, head, parts, part);
    }
    AttendQueries<kType, kQueries>(op, block, sums, q, positions);
  };
  int64_t query = 0;
  for (; query + kQueriesAtOnce <= queries; query += kQueriesAtOnce)
    attend.template operator()<kQueriesAtOnce>(query);
  for (; query + 2 <= queries; query += 2) attend.template operator()<2>(query);
  if (query < queries) attend.template operator()<1>(query);
}

inline void ClearParts(const Attention& op, const Workspace& workspace, int64_t kv_head,
                       int64_t parts, int64_t part) {
  const int64_t group = op.heads / op.cache.kv_heads;
  for (int64_t token = 0; token < op.tokens; ++token) {
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const Part sums(op, workspace, token, head, parts, part);
      *sums.largest = kMasked;
      *sums.total = 0;
      std::fill(sums.out, sums.out + op.cache.head_dim, 0.0f);
    }
  }
}

// out = the parts' outputs, each weighted
// by exp(its largest - the largest of all), over their total.
inline void MergeParts(const Attention& op, const Workspace& workspace, int64_t token, int64_t head,
                       int64_t parts) {
  const int64_t head_dim = op.cache.head_dim;
  float* out = op.out + (token * op.heads + head) * head_dim;
  float largest = kMasked;
  for (int64_t p = 0; p < parts; ++p)
    largest = std::max(largest, *Part(op, workspace, token, head, parts, p).largest);
  float factors[kMaxAttentionParts];
  float total = 0;
  for (int64_t p = 0; p < parts; ++p) {
    const Part part(op, workspace, token, head, parts, p);
    factors[p] = std::exp(*part.largest - largest);
    total += factors[p] * *part.total;
  }
  for (int64_t d = 0; d < head_dim; d += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, head_dim - d);
    F sum = Set(0);
    for (int64_t p = 0; p < parts; ++p) {
      sum = Fma(Set(factors[p]),
                LoadUpTo(Part(op, workspace, token, head, parts, p).out + d, count), sum);
    }
    StoreUpTo(out + d, sum / Set(total), count);
  }
}

template <CacheType kType>
inline void AttendFewTokens(const Attention& op, const Workspace& workspace, Slice slice) {
  const KvCache& cache = op.cache;
  const int64_t parts = AttentionParts(op), first = FirstVisible(cache, op.start);
  const Range work = Share(cache.kv_heads * parts, slice);
  for (int64_t item = work.begin; item < work.end; ++item) {
    const int64_t kv_head = item / parts, part = item % parts;
    const Range keys =
        Share(op.start + op.tokens - first, {static_cast<int>(part), static_cast<int>(parts)});
    ClearParts(op, workspace, kv_head, parts, part);
    for (int64_t begin = first + keys.begin, end; begin < first + keys.end; begin = end) {
      end = RunEnd(cache, begin, first + keys.end, kScoreBlock);
      const KeyBlock block{begin, end, CacheOffset(cache, kv_head, begin)};
      AttendBlock<kType>(op, workspace, block, kv_head, parts, part);
    }
    if (parts > 1) continue;
    const int64_t group = op.heads / cache.kv_heads;
    for (int64_t query = 0; query < op.tokens * group; ++query) {
      MergeParts(op, workspace, query / group, kv_head * group + query % group, 1);
    }
  }
}

inline void MergeAttention(const Attention& op, const Workspace& workspace, Slice slice) {
  const Range work = Share(op.tokens * op.heads, slice);
  for (int64_t i = work.begin; i < work.end; ++i) {
    MergeParts(op, workspace, i / op.heads, i % op.heads, AttentionParts(op));
  }
}
