// Operations that treat every element, or every group of a row, by itself.

// Calls apply(i, count) for the vectors of this slice's share of [0, size): lanes i to i + count.
template <typename Apply>
inline void ForVectors(int64_t size, Slice slice, Apply apply) {
  const Range share = Share(size, slice, kLanes);
  for (int64_t i = share.begin; i < share.end; i += kLanes)
    apply(i, std::min<int64_t>(kLanes, share.end - i));
}

inline F LoadUpTo(const float* p, int64_t count) {
  return count == kLanes ? Load(p) : LoadPart(p, count);
}
inline void StoreUpTo(float* p, F v, int64_t count) {
  count == kLanes ? Store(p, v) : StorePart(p, v, count);
}

inline void ComputeGatedGelu(const GatedGelu& op, Slice slice) {
  ForVectors(op.size, slice, [&](int64_t i, int64_t count) {
    StoreUpTo(op.out + i, Gelu(LoadUpTo(op.gate + i, count)) * LoadUpTo(op.up + i, count), count);
  });
}

inline void ComputeAdd(const Add& op, Slice slice) {
  ForVectors(op.size, slice, [&](int64_t i, int64_t count) {
    StoreUpTo(op.out + i, LoadUpTo(op.a + i, count) + LoadUpTo(op.b + i, count), count);
  });
}

inline void ComputeSoftcap(const Softcap& op, Slice slice) {
  ForVectors(op.size, slice, [&](int64_t i, int64_t count) {
    StoreUpTo(op.out + i, Set(op.cap) * Tanh(LoadUpTo(op.in + i, count) / Set(op.cap)), count);
  });
}

// 1 / sqrt(mean(in^2) + epsilon)
inline float InverseRms(const float* in, int64_t size, float epsilon) {
  F squares[2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
    const F left = Load(in + i), right = Load(in + i + kLanes);
    squares[0] = Fma(left, left, squares[0]);
    squares[1] = Fma(right, right, squares[1]);
  }
  for (; i < size; i += kLanes) {
    const F rest = LoadUpTo(in + i, std::min<int64_t>(kLanes, size - i));
    squares[0] = Fma(rest, rest, squares[0]);
  }
  return 1 / std::sqrt(Sum(squares[0] + squares[1]) / static_cast<float>(size) + epsilon);
}

inline void ComputeRmsNorm(const RmsNorm& op, Slice slice) {
  const Range groups = Share(op.tokens * (op.columns / op.width), slice);
  for (int64_t group = groups.begin; group < groups.end; ++group) {
    const int64_t start = group * op.width;
    const F factor = Set(InverseRms(op.in + start, op.width, op.epsilon));
    for (int64_t i = 0; i < op.width; i += kLanes) {
      const int64_t count = std::min<int64_t>(kLanes, op.width - i);
      F y = LoadUpTo(op.in + start + i, count) * factor;
      if (op.weight != nullptr) y = y * LoadUpTo(op.weight + i, count);
      if (op.add != nullptr) y = LoadUpTo(op.add + start + i, count) + y;
      StoreUpTo(op.out + start + i, y * Set(op.scalar), count);
    }
  }
}
