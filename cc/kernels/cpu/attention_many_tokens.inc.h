// Attention for many tokens; see attention_few_tokens.inc.h.

constexpr int64_t kTileKeys = 4 * kTileRows;  // keys of a block

// A thread's scratch: one tile of queries and one block of keys.
struct AttentionScratch {
  float* q;       // [head_dim, up to a multiple of kLanes][kTile], zeros where there is no query
  float* out;     // [head_dim][kTile], sums of weighted values
  float* scores;  // [kTileKeys][kTile], then softmax weights
  float* keys;    // a panel of kTileRows keys
  float* values;  // [kTileKeys][head_dim] as float32, when the cache is not

  AttentionScratch(float* memory, int64_t head_dim) {
    const int64_t padded = PackedColumns(head_dim);
    q = memory;
    out = q + padded * kTile;
    scores = out + padded * kTile;
    keys = scores + kTileKeys * kTile;
    values = keys + kTileRows * padded;
  }
};

// The softmax state of a tile: one lane a query.
struct TileSoftmax {
  F first[2], last[2];  // positions that each query sees, as floats: exact below 2^24
  F largest[2], total[2];
};

// The queries [query, query + count) of a kv head, numbered token by token.
struct QueryTile {
  int64_t kv_head;
  int64_t query;
  int64_t count;
};

// Calls apply(lane, count, offset) for every run of queries of one token: their lanes and where
// they lie in q and out.
template <typename Apply>
inline void ForTokens(const Attention& op, const QueryTile& tile, Apply apply) {
  const int64_t group = op.heads / op.cache.kv_heads;
  for (int64_t lane = 0, count; lane < tile.count; lane += count) {
    const int64_t query = tile.query + lane, in_group = query % group;
    count = std::min(group - in_group, tile.count - lane);
    apply(lane, count,
          (query / group * op.heads + tile.kv_head * group + in_group) * op.cache.head_dim);
  }
}

inline void PackQueries(const Attention& op, const QueryTile& tile, float* q) {
  const int64_t head_dim = op.cache.head_dim, padded = PackedColumns(head_dim);
  if (tile.count < kTile || padded != head_dim) std::fill(q, q + padded * kTile, 0.0f);
  ForTokens(op, tile, [&](int64_t lane, int64_t count, int64_t offset) {
    Transpose(op.q + offset, head_dim, count, head_dim, q + lane, kTile);
  });
}

inline void StartSoftmax(const Attention& op, const QueryTile& tile, TileSoftmax& softmax) {
  const int64_t group = op.heads / op.cache.kv_heads;
  float first[kTile], last[kTile];
  for (int64_t lane = 0; lane < kTile; ++lane) {
    const int64_t position = op.start + (tile.query + std::min(lane, tile.count - 1)) / group;
    first[lane] = static_cast<float>(FirstVisible(op.cache, position));
    last[lane] = static_cast<float>(position);
  }
  for (int j = 0; j < 2; ++j) {
    softmax.first[j] = Load(first + j * kLanes);
    softmax.last[j] = Load(last + j * kLanes);
    softmax.largest[j] = Set(kMasked);
    softmax.total[j] = Set(0);
  }
}

template <CacheType kType>
inline void ScoreTile(const Attention& op, const KeyBlock& block, const AttentionScratch& scratch) {
  using Key = CacheElements<kType>;
  const int64_t head_dim = op.cache.head_dim, padded = PackedColumns(head_dim),
                keys = block.end - block.begin;
  const auto* key = static_cast<const typename Key::Type*>(op.cache.keys) + block.offset;
  for (int64_t k = 0; k < keys; k += kTileRows) {
    for (int64_t r = 0; r < kTileRows; ++r) {
      float* to = scratch.keys + r * kLanes;
      // Past the block's end the last key stands in; its scores are not used.
      const auto* from = key + std::min(k + r, keys - 1) * head_dim;
      int64_t d = 0;
      for (; d + kLanes <= head_dim; d += kLanes) Store(to + d * kTileRows, Key::Vector(from + d));
      if (d < head_dim) Store(to + d * kTileRows, PartOf<Key::kLayout>(from + d, head_dim - d));
    }
    MultiplyPanel<kTileRows, 2>(scratch.keys, scratch.q, padded, scratch.scores + k * kTile);
  }
}

// Scores to softmax weights; true when sums so far must be multiplied with factors.
inline bool SoftmaxTile(const Attention& op, const KeyBlock& block, bool masked,
                        TileSoftmax& softmax, float* scores, F (&factors)[2]) {
  const int64_t keys = block.end - block.begin;
  bool rescale = false;
  for (int j = 0; j < 2; ++j) {
    float* score = scores + j * kLanes;
    F largest = softmax.largest[j];
    for (int64_t k = 0; k < keys; ++k) {
      F s = Load(score + k * kTile) * Set(op.scale);
      if (masked) {
        const F position = Set(static_cast<float>(block.begin + k));
        s = WhereLess(position, softmax.first[j], Set(kMasked),
                      WhereLess(softmax.last[j], position, Set(kMasked), s));
      }
      Store(score + k * kTile, s);
      largest = Max(largest, s);
    }
    F total = Set(0);
    for (int64_t k = 0; k < keys; ++k) {
      const F e = Exp(Load(score + k * kTile) - largest);
      Store(score + k * kTile, e);
      total = total + e;
    }
    factors[j] = Exp(softmax.largest[j] - largest);
    rescale |= Largest(largest - softmax.largest[j]) > 0;
    softmax.total[j] = Fma(softmax.total[j], factors[j], total);
    softmax.largest[j] = largest;
  }
  return rescale;
}

inline void AddTileValues(const float* values, int64_t head_dim, const float* weights, int64_t keys,
                          float* out) {
  int64_t d = 0;
  for (; d + kTileRows <= head_dim; d += kTileRows) {
    AccumulateRows<kTileRows>(values + d, head_dim, weights, keys, out + d * kTile);
  }
  for (; d + 4 <= head_dim; d += 4)
    AccumulateRows<4>(values + d, head_dim, weights, keys, out + d * kTile);
  for (; d < head_dim; ++d) AccumulateRows<1>(values + d, head_dim, weights, keys, out + d * kTile);
}

template <CacheType kType>
inline const float* FloatValues(const Attention& op, const KeyBlock& block, float* buffer) {
  if constexpr (kType == CacheType::kF32) {
    return static_cast<const float*>(op.cache.values) + block.offset;
  } else {
    using Value = CacheElements<kType>;
    const auto* values = static_cast<const typename Value::Type*>(op.cache.values) + block.offset;
    const int64_t size = (block.end - block.begin) * op.cache.head_dim;
    for (int64_t i = 0; i < size; i += kLanes) {
      const int64_t count = std::min<int64_t>(kLanes, size - i);
      StoreUpTo(
          buffer + i,
          count == kLanes ? Value::Vector(values + i) : PartOf<Value::kLayout>(values + i, count),
          count);
    }
    return buffer;
  }
}

inline void StoreQueries(const Attention& op, const QueryTile& tile, const TileSoftmax& softmax,
                         float* sums) {
  const F inverse[2] = {Set(1) / softmax.total[0], Set(1) / softmax.total[1]};
  for (int64_t d = 0; d < op.cache.head_dim; ++d) {
    for (int j = 0; j < 2; ++j)
      Store(sums + d * kTile + j * kLanes, Load(sums + d * kTile + j * kLanes) * inverse[j]);
  }
  ForTokens(op, tile, [&](int64_t lane, int64_t count, int64_t offset) {
    Transpose(sums + lane, kTile, op.cache.head_dim, count, op.out + offset, op.cache.head_dim);
  });
}

template <CacheType kType>
inline void AttendTile(const Attention& op, const QueryTile& tile,
                       const AttentionScratch& scratch) {
  const KvCache& cache = op.cache;
  const int64_t group = op.heads / cache.kv_heads, head_dim = cache.head_dim;
  const int64_t first_position = op.start + tile.query / group;
  const int64_t last_position = op.start + (tile.query + tile.count - 1) / group;
  PackQueries(op, tile, scratch.q);
  std::fill(scratch.out, scratch.out + head_dim * kTile, 0.0f);
  TileSoftmax softmax;
  StartSoftmax(op, tile, softmax);
  for (int64_t begin = FirstVisible(cache, first_position), end; begin <= last_position;
       begin = end) {
    end = RunEnd(cache, begin, last_position + 1, kTileKeys);
    const KeyBlock block{begin, end, CacheOffset(cache, tile.kv_head, begin)};
    const bool masked = begin < FirstVisible(cache, last_position) || end - 1 > first_position;
    F factors[2];
    ScoreTile<kType>(op, block, scratch);
    if (SoftmaxTile(op, block, masked, softmax, scratch.scores, factors)) {
      for (int64_t i = 0; i < head_dim * kTile; i += kLanes) {
        Store(scratch.out + i, Load(scratch.out + i) * factors[i / kLanes % 2]);
      }
    }
    AddTileValues(FloatValues<kType>(op, block, scratch.values), head_dim, scratch.scores,
                  end - begin, scratch.out);
  }
  StoreQueries(op, tile, softmax, scratch.out);
}

template <CacheType kType>
inline void AttendManyTokens(const Attention& op, const Workspace& workspace, Slice slice) {
  const int64_t queries = op.tokens * (op.heads / op.cache.kv_heads);
  const int64_t tiles = (queries + kTile - 1) / kTile;
  const AttentionScratch scratch(workspace.thread_scratch(slice.index), op.cache.head_dim);
  // Later tiles see more keys, so threads take turns.
  for (int64_t item = slice.index; item < op.cache.kv_heads * tiles; item += slice.count) {
    const int64_t query = item % tiles * kTile;
    AttendTile<kType>(op, {item / tiles, query, std::min<int64_t>(kTile, queries - query)},
                      scratch);
  }
}

template <CacheType kType>
inline void Attend(const Attention& op, const Workspace& workspace, Slice slice) {
  if (op.tokens > kMaxDecodeTokens) {
    AttendManyTokens<kType>(op, workspace, slice);
  } else {
    AttendFewTokens<kType>(op, workspace, slice);
  }
}

inline void ComputeAttention(const Attention& op, const Workspace& workspace, Slice slice) {
  WithCacheType(op.cache.type, [&]<CacheType kType>() { Attend<kType>(op, workspace, slice); });
}
