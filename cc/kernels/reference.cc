#include "cc/kernels/reference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "cc/kernels/philox.h"

namespace gemma::reference {
namespace {

// Little-endian reads at an index, from memory of any alignment.
template <typename T>
T Read(const std::byte* plane, int64_t index) {
  T value;
  std::memcpy(&value, plane + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

constexpr int kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113};
constexpr int kE2m1Twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// One row of a weight, element by element.
class Row {
 public:
  Row(const WeightView& weight, int64_t row)
      : weight_(weight), row_(row), columns_(weight.shape.columns), group_(weight.shape.group) {}

  float Value(int64_t column) const {
    switch (weight_.shape.layout) {
      case WeightLayout::kF32:
      case WeightLayout::kF16:
      case WeightLayout::kBF16:
        return ReadNumber(weight_.shape.layout, Values(), Index(column));
      case WeightLayout::kInt8:
        return Scale(column) * static_cast<float>(Read<int8_t>(Values(), Index(column)));
      case WeightLayout::kInt4:
        return Scale(column) * static_cast<float>(Nibble(column) - 8);
      case WeightLayout::kInt4Min:
        return Scale(column) * static_cast<float>(Nibble(column)) + Min(column);
      case WeightLayout::kInt5:
        return Scale(column) * static_cast<float>(FiveBits(column) - 16);
      case WeightLayout::kInt5Min:
        return Scale(column) * static_cast<float>(FiveBits(column)) + Min(column);
      case WeightLayout::kQ4_K:
        return BlockScale(column) * static_cast<float>(Nibble(column)) - BlockMin(column);
      case WeightLayout::kQ5_K:
        return BlockScale(column) * static_cast<float>(FiveBits(column)) - BlockMin(column);
      case WeightLayout::kQ6_K:
        return SixBitScale(column) * static_cast<float>(SixBits(column) - 32);
      case WeightLayout::kIq4Nl:
        return Scale(column) * static_cast<float>(kIq4Levels[Nibble(column)]);
      case WeightLayout::kIq4Xs:
        return SignedSixBitScale(column) * static_cast<float>(kIq4Levels[Nibble(column)]);
      case WeightLayout::kNvfp4:
        return E4m3Scale(column) * static_cast<float>(kE2m1Twice[Nibble(column)]);
    }
    return std::numeric_limits<float>::quiet_NaN();
  }

 private:
  const std::byte* Values() const { return weight_.plane(weight_.planes.values); }
  int64_t Index(int64_t column) const { return row_ * columns_ + column; }
  uint8_t Byte(uint64_t plane, int64_t index) const {
    return Read<uint8_t>(weight_.plane(plane), index);
  }
  float Half(uint64_t plane, int64_t index) const {
    return HalfToFloat(Read<uint16_t>(weight_.plane(plane), index));
  }

  int Nibble(int64_t column) const {
    const int64_t block = Index(column) / 32;
    const int64_t j = column % 32;
    const uint8_t byte = Byte(weight_.planes.values, block * 16 + j % 16);
    return j < 16 ? byte & 15 : byte >> 4;
  }

  int FiveBits(int64_t column) const {
    const uint32_t bits = Read<uint32_t>(weight_.plane(weight_.planes.bits), Index(column) / 32);
    return Nibble(column) | static_cast<int>(bits >> (column % 32) & 1) << 4;
  }

  int SixBits(int64_t column) const {
    const int64_t j = column % 32;
    const uint8_t byte = Byte(weight_.planes.pairs, Index(column) / 32 * 8 + j % 8);
    return Nibble(column) | (byte >> (j / 8 * 2) & 3) << 4;
  }

  float ScalePlane(uint64_t plane, int64_t column) const {
    if (weight_.planes.float_scales) return Read<float>(weight_.plane(plane), row_);
    return Half(plane, Index(column) / group_);
  }
  float Scale(int64_t column) const { return ScalePlane(weight_.planes.scales, column); }
  float Min(int64_t column) const { return ScalePlane(weight_.planes.mins, column); }

  // Groups 0-3 keep the low 6 bits of bytes 0-3 (scales) and 4-7 (mins);
  // groups 4-7 have 4 bits in bytes 8-11 (low half: scale, high half: min)
  // and their top 2 bits in the top of bytes 0-3 and 4-7.
  int PackedSixBits(int64_t column, bool min) const {
    const int64_t start = Index(column) / 256 * 12;
    const int g = static_cast<int>(column % 256 / 32);
    const uint8_t own = Byte(weight_.planes.scales, start + g % 4 + (min ? 4 : 0));
    if (g < 4) return own & 63;
    const uint8_t shared = Byte(weight_.planes.scales, start + 8 + g - 4);
    return (min ? shared >> 4 : shared & 15) | own >> 6 << 4;
  }

  float BlockScale(int64_t column) const {
    return Half(weight_.planes.blocks, Index(column) / 256 * 2) *
           static_cast<float>(PackedSixBits(column, false));
  }
  float BlockMin(int64_t column) const {
    return Half(weight_.planes.blocks, Index(column) / 256 * 2 + 1) *
           static_cast<float>(PackedSixBits(column, true));
  }
  float SixBitScale(int64_t column) const {
    return Half(weight_.planes.blocks, Index(column) / 256) *
           static_cast<float>(
               Read<int8_t>(weight_.plane(weight_.planes.scales), Index(column) / 16));
  }
  // 8 bytes a block: a float16 d; 8 times 2 bits, the upper ones of groups 0 to 7; 8 times 4 bits,
  // the lower ones. The scales are those numbers minus 32.
  float SignedSixBitScale(int64_t column) const {
    const int64_t start = Index(column) / 256 * 8;
    const int g = static_cast<int>(column % 256 / 32);
    const int high = Byte(weight_.planes.scales, start + 2 + g / 4) >> (g % 4 * 2) & 3;
    const int low = Byte(weight_.planes.scales, start + 4 + g / 2) >> (g % 2 * 4) & 15;
    return Half(weight_.planes.scales, start / 2) * static_cast<float>((low | high << 4) - 32);
  }
  // A sign, 4 bits of exponent with a bias of 7, 3 bits of mantissa.
  float E4m3Scale(int64_t column) const {
    const uint8_t code = Byte(weight_.planes.scales, Index(column) / 16);
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const double size =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    return Read<float>(weight_.plane(weight_.planes.blocks), row_) *
           static_cast<float>(code & 128 ? -size : size);
  }

  const WeightView& weight_;
  const int64_t row_;
  const int64_t columns_;
  const int64_t group_;
};

// 1 / sqrt(mean(z^2) + epsilon)
double InverseRms(const float* z, int64_t size, float epsilon) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(z[i]) * z[i];
  return 1 / std::sqrt(sum / static_cast<double>(size) + epsilon);
}

// norm(z) * weight; a null weight is ones.
std::vector<double> Normalized(const float* z, const float* weight, int64_t size, float epsilon) {
  const double factor = InverseRms(z, size, epsilon);
  std::vector<double> y(size);
  for (int64_t i = 0; i < size; ++i) y[i] = z[i] * factor * (weight == nullptr ? 1 : weight[i]);
  return y;
}

void Rotate(std::vector<double>& z, const float* frequencies, int64_t position) {
  const int64_t half = std::ssize(z) / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    const double cosine = std::cos(static_cast<double>(angle));
    const double sine = std::sin(static_cast<double>(angle));
    const double a = z[i], b = z[i + half];
    z[i] = a * cosine - b * sine;
    z[i + half] = b * cosine + a * sine;
  }
}

int64_t CacheIndex(const KvCache& cache, int64_t head, int64_t position) {
  return (head * cache.capacity + position % cache.capacity) * cache.head_dim;
}

float CacheRead(const KvCache& cache, const void* plane, int64_t index) {
  return ReadNumber(NumbersOf(cache.type), static_cast<const std::byte*>(plane), index);
}

void CacheWrite(const KvCache& cache, void* plane, int64_t index, const std::vector<double>& z) {
  for (double value : z) {
    WriteNumber(NumbersOf(cache.type), static_cast<float>(value), static_cast<std::byte*>(plane),
                index++);
  }
}

// One query head at one position. q, out: [head_dim]
void Attend(const Attention& op, const float* q, int64_t kv_head, int64_t position, float* out) {
  const KvCache& cache = op.cache;
  const int64_t first = cache.window == 0 ? 0 : std::max<int64_t>(0, position - cache.window + 1);
  std::vector<double> scores;
  for (int64_t p = first; p <= position; ++p) {
    double dot = 0;
    for (int64_t i = 0; i < cache.head_dim; ++i) {
      dot += static_cast<double>(q[i]) *
             CacheRead(cache, cache.keys, CacheIndex(cache, kv_head, p) + i);
    }
    scores.push_back(dot * op.scale);
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - largest);
  for (int64_t i = 0; i < cache.head_dim; ++i) {
    double sum = 0;
    for (int64_t p = first; p <= position; ++p) {
      sum += scores[p - first] * CacheRead(cache, cache.values, CacheIndex(cache, kv_head, p) + i);
    }
    out[i] = static_cast<float>(sum / total);
  }
}

// NaN counts as minus infinity.
float Logit(const float* logits, int64_t id) {
  return std::isnan(logits[id]) ? -std::numeric_limits<float>::infinity() : logits[id];
}

// Ids from the largest logit to the smallest; of equals the lower id first.
std::vector<int64_t> Ranked(const float* logits, int64_t vocab) {
  std::vector<int64_t> ids(vocab);
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int64_t a, int64_t b) { return Logit(logits, a) > Logit(logits, b); });
  return ids;
}

// How many of the ranked probabilities the filters keep.
int64_t KeptCount(const std::vector<double>& probabilities, const SamplingParams& sampling) {
  const double total = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  int64_t kept = std::ssize(probabilities);
  double sum = 0;
  for (int64_t i = 0; i < kept && sampling.top_p < 1; ++i) {
    sum += probabilities[i];
    if (sum >= sampling.top_p * total) kept = i + 1;
  }
  while (kept > 1 && probabilities[kept - 1] < sampling.min_p * probabilities[0]) --kept;
  return kept;
}

}  // namespace

float HalfToFloat(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  double magnitude = std::ldexp(mantissa, -24);
  if (exponent == 31) {
    magnitude = mantissa == 0 ? std::numeric_limits<double>::infinity()
                              : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent > 0) {
    magnitude = std::ldexp(1024 + mantissa, exponent - 25);
  }
  return static_cast<float>(half & 0x8000 ? -magnitude : magnitude);
}

float Bfloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

uint16_t FloatToHalf(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7e00;
  const double magnitude = std::abs(static_cast<double>(value));
  if (magnitude == 0) return sign;
  if (magnitude >= 65520) return sign | 0x7c00;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  // The spacing of halves at this magnitude; subnormals share the smallest one.
  const int spacing = std::max(exponent - 11, -24);
  const double steps = std::nearbyint(std::ldexp(magnitude, -spacing));
  return sign | static_cast<uint16_t>(steps + (spacing + 24) * 1024.0);
}

uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 64);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float ReadNumber(WeightLayout layout, const std::byte* plane, int64_t index) {
  switch (layout) {
    case WeightLayout::kF32:
      return Read<float>(plane, index);
    case WeightLayout::kF16:
      return HalfToFloat(Read<uint16_t>(plane, index));
    case WeightLayout::kBF16:
      return Bfloat16ToFloat(Read<uint16_t>(plane, index));
    default:
      return std::numeric_limits<float>::quiet_NaN();
  }
}

void WriteNumber(WeightLayout layout, float value, std::byte* plane, int64_t index) {
  if (layout == WeightLayout::kF32) {
    std::memcpy(plane + index * 4, &value, 4);
    return;
  }
  const uint16_t narrow =
      layout == WeightLayout::kF16 ? FloatToHalf(value) : FloatToBfloat16(value);
  std::memcpy(plane + index * 2, &narrow, 2);
}

void DequantizeRow(const WeightView& weight, int64_t row, float* out) {
  const Row values(weight, row);
  for (int64_t column = 0; column < weight.shape.columns; ++column)
    out[column] = values.Value(column);
}

void Compute(const Embed& op) {
  const int64_t columns = op.weight.shape.columns;
  for (int64_t t = 0; t < op.tokens; ++t) {
    float* out = op.out + t * columns;
    DequantizeRow(op.weight, op.ids[t], out);
    for (int64_t c = 0; c < columns; ++c) out[c] *= op.scale;
  }
}

void Compute(const RmsNorm& op) {
  for (int64_t start = 0; start < op.tokens * op.columns; start += op.width) {
    const std::vector<double> y = Normalized(op.in + start, op.weight, op.width, op.epsilon);
    for (int64_t i = 0; i < op.width; ++i) {
      const double residual = op.add == nullptr ? 0 : op.add[start + i];
      op.out[start + i] = static_cast<float>((residual + y[i]) * op.scalar);
    }
  }
}

void Compute(const Linear& op) {
  const int64_t rows = op.weight.shape.rows, columns = op.weight.shape.columns;
  std::vector<float> w(columns);
  for (int64_t r = 0; r < rows; ++r) {
    DequantizeRow(op.weight, r, w.data());
    for (int64_t t = 0; t < op.tokens; ++t) {
      const float* x = op.in + t * columns;
      double sum = 0;
      for (int64_t c = 0; c < columns; ++c) sum += static_cast<double>(w[c]) * x[c];
      op.out[t * rows + r] = static_cast<float>(sum);
    }
  }
}

void Compute(const PrepareAttention& op) {
  const KvCache& cache = op.cache;
  const int64_t head_dim = cache.head_dim;
  for (int64_t t = 0; t < op.tokens; ++t) {
    const int64_t position = op.start + t;
    for (int64_t h = 0; h < cache.kv_heads; ++h) {
      const int64_t start = (t * cache.kv_heads + h) * head_dim;
      const int64_t slot = CacheIndex(cache, h, position);
      std::vector<double> k = Normalized(op.k + start, op.k_norm, head_dim, op.epsilon);
      Rotate(k, op.frequencies, position);
      CacheWrite(cache, cache.keys, slot, k);
      const float* v = (op.v == nullptr ? op.k : op.v) + start;
      CacheWrite(cache, cache.values, slot,
                 op.normalize_v ? Normalized(v, nullptr, head_dim, op.epsilon)
                                : std::vector<double>(v, v + head_dim));
    }
    for (int64_t h = 0; h < op.heads; ++h) {
      const int64_t start = (t * op.heads + h) * head_dim;
      std::vector<double> q = Normalized(op.q + start, op.q_norm, head_dim, op.epsilon);
      Rotate(q, op.frequencies, position);
      std::copy(q.begin(), q.end(), op.out + start);
    }
  }
}

void Compute(const Attention& op) {
  const int64_t head_dim = op.cache.head_dim;
  const int64_t heads_per_kv_head = op.heads / op.cache.kv_heads;
  for (int64_t t = 0; t < op.tokens; ++t) {
    for (int64_t h = 0; h < op.heads; ++h) {
      const int64_t start = (t * op.heads + h) * head_dim;
      const std::vector<float> q(op.q + start, op.q + start + head_dim);
      Attend(op, q.data(), h / heads_per_kv_head, op.start + t, op.out + start);
    }
  }
}

void Compute(const GatedGelu& op) {
  for (int64_t i = 0; i < op.size; ++i) {
    const double z = op.gate[i];
    const double inner = std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z);
    op.out[i] = static_cast<float>(z / 2 * (1 + std::tanh(inner)) * op.up[i]);
  }
}

void Compute(const Add& op) {
  for (int64_t i = 0; i < op.size; ++i) op.out[i] = op.a[i] + op.b[i];
}

void Compute(const Softcap& op) {
  for (int64_t i = 0; i < op.size; ++i) {
    op.out[i] = static_cast<float>(op.cap * std::tanh(static_cast<double>(op.in[i]) / op.cap));
  }
}

void Compute(const Score& op) {
  for (int64_t t = 0; t < op.tokens; ++t) {
    const float* logits = op.logits + t * op.vocab;
    const std::vector<int64_t> ranked = Ranked(logits, op.vocab);
    const double largest = logits[ranked[0]];
    double total = 0;
    for (int64_t id = 0; id < op.vocab; ++id) total += std::exp(logits[id] - largest);
    const double normalizer = largest + std::log(total);
    const int64_t target = op.targets[t];
    op.logprobs[t] = target < 0 ? std::numeric_limits<float>::quiet_NaN()
                                : static_cast<float>(logits[target] - normalizer);
    for (int64_t i = 0; i < op.top; ++i) {
      op.top_ids[t * op.top + i] = ranked[i];
      op.top_logprobs[t * op.top + i] = static_cast<float>(logits[ranked[i]] - normalizer);
    }
  }
}

int64_t Compute(const Sample& op) {
  const SamplingParams& sampling = op.sampling;
  std::vector<int64_t> ids = Ranked(op.logits, op.vocab);
  const double largest = Logit(op.logits, ids[0]);
  if (sampling.temperature <= 0 || std::isinf(largest)) return ids[0];
  if (sampling.top_k > 0) ids.resize(std::min(op.vocab, sampling.top_k));
  auto probability = [&](int64_t id) {
    return std::exp((Logit(op.logits, id) - largest) / sampling.temperature);
  };
  std::vector<double> probabilities;
  for (int64_t id : ids) probabilities.push_back(probability(id));
  ids.resize(KeptCount(probabilities, sampling));
  std::sort(ids.begin(), ids.end());
  double total = 0;
  for (int64_t id : ids) total += probability(id);
  const double target = SamplingUniform(sampling.seed, op.position) * total;
  double sum = 0;
  for (int64_t id : ids) {
    sum += probability(id);
    if (sum > target) return id;
  }
  return ids.back();
}

}  // namespace gemma::reference
