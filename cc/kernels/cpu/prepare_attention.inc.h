// Per head: norm, rotation and the way into the cache.

// sine and cosine of every pair's angle at one position.
struct Rotation {
  float sine[kMaxHeadDim / 2];
  float cosine[kMaxHeadDim / 2];

  void Turn(const float* frequencies, int64_t half, int64_t position) {
    float angles[kMaxHeadDim / 2];
    for (int64_t i = 0; i < half; ++i) angles[i] = static_cast<float>(position) * frequencies[i];
    SinCos(angles, half, sine, cosine);
  }
};

// out = norm(in) * weight; a null weight is ones. `out` may be `in`.
inline void NormalizeHead(const float* in, const float* weight, int64_t size, float epsilon,
                          float* out) {
  const F factor = Set(InverseRms(in, size, epsilon));
  for (int64_t i = 0; i < size; i += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, size - i);
    F y = LoadUpTo(in + i, count) * factor;
    if (weight != nullptr) y = y * LoadUpTo(weight + i, count);
    StoreUpTo(out + i, y, count);
  }
}

inline void RotateHead(const Rotation& rotation, int64_t half, float* head) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, half - i);
    const F a = LoadUpTo(head + i, count), b = LoadUpTo(head + half + i, count);
    const F sine = LoadUpTo(rotation.sine + i, count),
            cosine = LoadUpTo(rotation.cosine + i, count);
    StoreUpTo(head + i, a * cosine - b * sine, count);
    StoreUpTo(head + half + i, b * cosine + a * sine, count);
  }
}

// The head at `position` in one of the cache's planes.
inline int64_t CacheOffset(const KvCache& cache, int64_t kv_head, int64_t position) {
  return (kv_head * cache.capacity + position % cache.capacity) * cache.head_dim;
}

// The numbers of a cache.
template <CacheType kType>
struct CacheElements : Elements<NumbersOf(kType)> {
  static constexpr WeightLayout kLayout = NumbersOf(kType);
};

// Calls function.template operator()<type>() for the cache's type.
template <size_t kIndex = 0, typename Function>
inline void WithCacheType(CacheType type, Function function) {
  if constexpr (kIndex < kCacheTypes.size()) {
    if (type == kCacheTypes[kIndex]) return function.template operator()<kCacheTypes[kIndex]>();
    WithCacheType<kIndex + 1>(type, function);
  }
}

// Writes head [head_dim] to a plane of the cache; returns its largest magnitude.
inline float WriteCache(const KvCache& cache, void* plane, int64_t offset, const float* head) {
  F largest = Set(0);
  WithCacheType(cache.type, [&]<CacheType kType>() {
    using Number = CacheElements<kType>;
    auto* const out = static_cast<typename Number::Type*>(plane) + offset;
    for (int64_t i = 0; i < cache.head_dim; i += kLanes) {
      const int64_t count = std::min<int64_t>(kLanes, cache.head_dim - i);
      const F v = LoadUpTo(head + i, count);
      largest = Max(largest, Max(v, -v));
      if (count == kLanes) {
        Number::Write(out + i, v);
      } else {
        typename Number::Type rest[kLanes];
        Number::Write(rest, v);
        std::memcpy(out + i, rest, count * sizeof(rest[0]));
      }
    }
  });
  return Largest(largest);
}

inline void PrepareQuery(const PrepareAttention& op, const Rotation& rotation, int64_t token,
                         int64_t head) {
  const int64_t head_dim = op.cache.head_dim, offset = (token * op.heads + head) * head_dim;
  NormalizeHead(op.q + offset, op.q_norm, head_dim, op.epsilon, op.out + offset);
  RotateHead(rotation, head_dim / 2, op.out + offset);
}

inline void PrepareKeyAndValue(const PrepareAttention& op, const Rotation& rotation, int64_t token,
                               int64_t kv_head) {
  const int64_t head_dim = op.cache.head_dim,
                offset = (token * op.cache.kv_heads + kv_head) * head_dim;
  const int64_t slot = CacheOffset(op.cache, kv_head, op.start + token);
  float head[kMaxHeadDim];
  NormalizeHead(op.k + offset, op.k_norm, head_dim, op.epsilon, head);
  RotateHead(rotation, head_dim / 2, head);
  const float largest_key = WriteCache(op.cache, op.cache.keys, slot, head);
  const float* v = (op.v == nullptr ? op.k : op.v) + offset;
  if (op.normalize_v) {
    NormalizeHead(v, nullptr, head_dim, op.epsilon, head);
    v = head;
  }
  const float largest_value = WriteCache(op.cache, op.cache.values, slot, v);
  if (op.largest != nullptr) *op.largest = std::max({*op.largest, largest_key, largest_value});
}

inline void ComputePrepareAttention(const PrepareAttention& op, Slice slice) {
  const int64_t heads_per_token = op.heads + op.cache.kv_heads;
  const Range work = Share(op.tokens * heads_per_token, slice);
  Rotation rotation;
  for (int64_t i = work.begin; i < work.end; ++i) {
    const int64_t token = i / heads_per_token, head = i % heads_per_token;
    if (i == work.begin || head == 0)
      rotation.Turn(op.frequencies, op.cache.head_dim / 2, op.start + token);
    if (head < op.heads) {
      PrepareQuery(op, rotation, token, head);
    } else {
      PrepareKeyAndValue(op, rotation, token, head - op.heads);
    }
  }
}
