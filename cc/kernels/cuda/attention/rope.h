// Norms and rotary embeddings of one head's vector, held by a warp.
#ifndef CC_KERNELS_CUDA_ATTENTION_ROPE_H_
#define CC_KERNELS_CUDA_ATTENTION_ROPE_H_

#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

// The cosine and sine of an angle.
struct Rotation {
  float cosine;
  float sine;
};

// Pairs of a head that turn at all: with a shared cache the frequencies past kRotated / 2 are zero.
template <int kHeadDim, int kRotated>
inline constexpr int kRotatedPairs = kRotated > 0 ? kRotated / 2 : kHeadDim / 2;

// Of the float32 product position * frequency, as transformers computes it. The turns are taken off
// in double: float32 has too few digits for 2^18 radians.
GEMMA_DEVICE Rotation RotationOf(int64_t position, float frequency) {
  const float angle = static_cast<float>(position) * frequency;
  constexpr double kHalfTurn = 3.14159265358979323846;
  const double half_turns = static_cast<double>(angle) / kHalfTurn;
  const float reduced = static_cast<float>(half_turns - 2 * rint(half_turns / 2));
  Rotation r;
#ifdef GEMMA_CUDA_EMULATION
  r = {static_cast<float>(cos(kHalfTurn * reduced)), static_cast<float>(sin(kHalfTurn * reduced))};
#else
  sincospif(reduced, &r.sine, &r.cosine);
#endif
  return r;
}

// A vector of kHeadDim numbers over the lanes of a warp: a lane holds pairs (i, i + kHeadDim / 2),
// of neighbouring i two by two where the size allows, so that memory is read and written in words.
template <int kHeadDim>
struct HeadVector {
  static constexpr int kPairs = (kHeadDim / 2 + kWarp - 1) / kWarp;
  static constexpr int kAtOnce = kPairs % 2 == 0 ? 2 : 1;
  float low[kPairs];
  float high[kPairs];

  GEMMA_DEVICE static int Index(int j) {
    return kAtOnce == 2 ? j / 2 * 64 + Lane() * 2 + j % 2 : Lane() + kWarp * j;
  }
  GEMMA_DEVICE static bool Inside(int j) { return kHeadDim % 64 == 0 || Index(j) < kHeadDim / 2; }

  GEMMA_DEVICE void Load(const float* from) {
    for (int j = 0; j < kPairs; j += kAtOnce) {
      low[j] = high[j] = 0;
      if (!Inside(j)) continue;
      LoadSome(from + Index(j), low + j);
      LoadSome(from + Index(j) + kHeadDim / 2, high + j);
    }
  }

  GEMMA_DEVICE static void LoadSome(const float* from, float* to) {
    if constexpr (kAtOnce == 1) {
      to[0] = from[0];
    } else {
      const float2 pair = *reinterpret_cast<const float2*>(from);
      to[0] = pair.x, to[1] = pair.y;
    }
  }

  // z / sqrt(mean(z^2) + epsilon)
  GEMMA_DEVICE void Normalize(float epsilon) {
    float squares = 0;
    for (int j = 0; j < kPairs; ++j) squares += low[j] * low[j] + high[j] * high[j];
    const float factor = 1.0f / sqrtf(WarpSum(squares) / kHeadDim + epsilon);
    for (int j = 0; j < kPairs; ++j) low[j] *= factor, high[j] *= factor;
  }

  GEMMA_DEVICE void Multiply(const HeadVector& weight) {
    for (int j = 0; j < kPairs; ++j) low[j] *= weight.low[j], high[j] *= weight.high[j];
  }

  // rotations: of the first `rotated` pairs; the others stay
  GEMMA_DEVICE void Rotate(const Rotation* rotations, int rotated) {
    for (int j = 0; j < kPairs; ++j) {
      if (!Inside(j) || Index(j) >= rotated) continue;
      const Rotation r = rotations[Index(j)];
      const float a = low[j], b = high[j];
      low[j] = a * r.cosine - b * r.sine;
      high[j] = b * r.cosine + a * r.sine;
    }
  }

  GEMMA_DEVICE void Store(uint16_t* to) const {
    for (int j = 0; j < kPairs; j += kAtOnce) {
      if (!Inside(j)) continue;
      StoreSome(to + Index(j), low + j);
      StoreSome(to + Index(j) + kHeadDim / 2, high + j);
    }
  }

  // The nearest float16, then kHeadDim further what they leave (DeviceCache::paired).
  GEMMA_DEVICE void StorePaired(uint16_t* to) const {
    HeadVector rest;
    for (int j = 0; j < kPairs; ++j)
      rest.low[j] = HalfRest(low[j]), rest.high[j] = HalfRest(high[j]);
    Store(to);
    rest.Store(to + kHeadDim);
  }

  // The first `rotated` pairs: their lower, then their upper halves.
  GEMMA_DEVICE void StoreRotated(uint16_t* to, int rotated) const {
    for (int j = 0; j < kPairs; j += kAtOnce) {
      if (!Inside(j) || Index(j) >= rotated) continue;
      StoreSome(to + Index(j), low + j);
      StoreSome(to + rotated + Index(j), high + j);
    }
  }

  // kAtOnce values from there on.
  GEMMA_DEVICE static void StoreSome(uint16_t* to, const float* values) {
    if constexpr (kAtOnce == 1) {
      *to = Bits(values[0]);
    } else {
      *reinterpret_cast<uint32_t*>(to) = PackHalf(values[0], values[1]);
    }
  }

  GEMMA_DEVICE static uint16_t Bits(float value) {
    return static_cast<uint16_t>(PackHalf(value, 0));
  }
};

// A prepared query of ScoreColumns elements to `to`, from element `offset` of p.q on; the norms are
// p.q_norm and p.k_norm. With a shared
// cache (kRotated > 0) the columns are: head_dim that meet v (the rotated ones zero, the others
// times k_norm), then the rotated ones.
template <int kHeadDim, int kRotated, bool kPaired>
GEMMA_DEVICE void PrepareQuery(const PrepareParams& p, int64_t offset,
                               const HeadVector<kHeadDim>& q_norm,
                               const HeadVector<kHeadDim>& k_norm, const Rotation* rotations,
                               uint16_t* to) {
  using Vector = HeadVector<kHeadDim>;
  Vector q;
  q.Load(p.q + offset);
  q.Normalize(p.epsilon);
  q.Multiply(q_norm);
  q.Rotate(rotations, kRotatedPairs<kHeadDim, kRotated>);
  if constexpr (kPaired) {
    q.StorePaired(to);
  } else if constexpr (kRotated == 0) {
    q.Store(to);
  } else {
    Vector kept = q;
    kept.Multiply(k_norm);
    for (int j = 0; j < Vector::kPairs; ++j) {
      if (Vector::Index(j) < kRotated / 2) kept.low[j] = kept.high[j] = 0;
    }
    kept.Store(to);
    q.StoreRotated(to + kHeadDim, kRotated / 2);
  }
}

// The cache row of one kv head and token: key to `key` and value to `value`, or, with a shared
// cache, both to `value`.
template <int kHeadDim, int kRotated, bool kPaired>
GEMMA_DEVICE void PrepareKeyValue(const PrepareParams& p, int64_t offset,
                                  const HeadVector<kHeadDim>& k_norm, const Rotation* rotations,
                                  uint16_t* key, uint16_t* value) {
  using Vector = HeadVector<kHeadDim>;
  Vector v, k;
  v.Load((p.v == nullptr ? p.k : p.v) + offset);
  k.Load(p.k + offset);
  if (p.normalize_v) v.Normalize(p.epsilon);
  v.Store(value);
  k.Normalize(p.epsilon);
  k.Multiply(k_norm);
  k.Rotate(rotations, kRotatedPairs<kHeadDim, kRotated>);
  if constexpr (kPaired) {
    k.StorePaired(key);
  } else if constexpr (kRotated == 0) {
    k.Store(key);
  } else {
    k.StoreRotated(value + kHeadDim, kRotated / 2);
  }
}

GEMMA_DEVICE int64_t SlotOf(const DeviceCache& cache, int head, int64_t position) {
  return static_cast<int64_t>(head) * cache.capacity +
         static_cast<uint32_t>(position) % static_cast<uint32_t>(cache.capacity);
}

// The first position that a query at `position` sees.
GEMMA_DEVICE int FirstVisible(const DeviceCache& cache, int position) {
  return cache.window == 0 || position < cache.window ? 0 : position - cache.window + 1;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_ROPE_H_
