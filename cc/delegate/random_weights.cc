#include "cc/delegate/random_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/delegate/part_sink.h"
#include "cc/kernels/reference.h"

namespace gemma {
namespace {

// xorshift64*: eight bytes in a nanosecond, and the same ones everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed | 1) {
    for (int i = 0; i < 8; ++i) Word();  // a small seed's first words are small too
  }
  uint64_t Word() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  // In [0, 1).
  float Uniform() { return static_cast<float>(Word() >> 40) * 0x1p-24f; }
  // Deviation 1: the sum of four uniform numbers, nearly normal.
  float Normal() {
    const float sum = Uniform() + Uniform() + Uniform() + Uniform();
    return (sum - 2) * 1.7320508f;
  }

 private:
  uint64_t state_;
};

uint64_t SeedOf(const std::string& key) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

void FillBytes(std::span<std::byte> bytes, Random& random) {
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t word = random.Word();
    std::memcpy(&bytes[i], &word, std::min(sizeof(word), bytes.size() - i));
  }
}

void FillFloats(const WeightShape& shape, std::span<std::byte> bytes, Random& random) {
  const bool vector = shape.rows == 1;
  const float deviation = vector ? 0.1f : 1 / std::sqrt(static_cast<float>(shape.columns));
  const size_t width = shape.layout == WeightLayout::kF32 ? 4 : 2;
  for (size_t i = 0; i + width <= bytes.size(); i += width) {
    const float value = (vector ? 1.0f : 0.0f) + deviation * random.Normal();
    const uint16_t narrow = shape.layout == WeightLayout::kF16 ? reference::FloatToHalf(value)
                                                               : reference::FloatToBfloat16(value);
    std::memcpy(&bytes[i], width == 4 ? static_cast<const void*>(&value) : &narrow, width);
  }
}

// Numbers around `middle`, float32 or float16.
void FillScales(uint64_t plane, uint64_t count, bool floats, float middle,
                std::span<std::byte> bytes, Random& random) {
  if (plane == WeightPlanes::kAbsent) return;
  for (uint64_t i = 0; i < count; ++i) {
    const float value = middle * (0.5f + random.Uniform());
    const uint16_t half = reference::FloatToHalf(value);
    if (floats) std::memcpy(&bytes[plane + 4 * i], &value, 4);
    if (!floats) std::memcpy(&bytes[plane + 2 * i], &half, 2);
  }
}

}  // namespace

void FillRandomWeight(const WeightShape& shape, uint64_t seed, std::span<std::byte> bytes) {
  Random random(seed);
  if (shape.layout <= WeightLayout::kBF16) return FillFloats(shape, bytes, random);
  const WeightPlanes planes = LayOutWeight(shape).value();
  FillBytes(bytes, random);
  // Codes are uniform, of deviation 4.6 (16 of them), 9.2 (32), 18 (64) or 74 (256).
  const float unit = 1 / std::sqrt(static_cast<float>(shape.columns));
  if (!HasGroups(shape.layout)) {
    const uint64_t blocks = uint64_t{shape.rows} * (shape.columns / 256);
    const bool pairs = shape.layout != WeightLayout::kQ6_K;
    // Times the blocks' own scales: 0 to 63, of deviation 18, or -128 to 127, of deviation 74.
    const float divisor = shape.layout == WeightLayout::kQ4_K   ? 256
                          : shape.layout == WeightLayout::kQ5_K ? 640
                                                                : 1360;
    return FillScales(planes.blocks, blocks * (pairs ? 2 : 1), false, unit / divisor, bytes,
                      random);
  }
  const bool five = shape.layout == WeightLayout::kInt5 || shape.layout == WeightLayout::kInt5Min;
  const float scale = unit / (shape.layout == WeightLayout::kInt8 ? 74.0f : five ? 9.2f : 4.6f);
  const uint64_t groups =
      planes.float_scales ? shape.rows : uint64_t{shape.rows} * (shape.columns / shape.group);
  FillScales(planes.scales, groups, planes.float_scales, scale, bytes, random);
  FillScales(planes.mins, groups, planes.float_scales, (five ? -16 : -8) * scale, bytes, random);
}

RandomWeights::RandomWeights(std::span<const PlanWeight> weights, WeightSource& stored,
                             std::function<bool(const std::string&)> is_stored,
                             std::function<void(uint64_t, uint64_t)> progress)
    : stored_(stored), is_stored_(std::move(is_stored)), progress_(std::move(progress)) {
  for (const PlanWeight& weight : weights) shapes_.emplace(weight.data_key, weight.shape);
}

absl::Status RandomWeights::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  std::vector<WeightRequest> stored;
  std::vector<size_t> numbers;
  uint64_t total = 0, done = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    total += requests[i].bytes;
    if (!is_stored_(requests[i].key)) continue;
    stored.push_back(requests[i]);
    numbers.push_back(i);
    done += requests[i].bytes;
  }
  PartSink part(sink, numbers);
  GEMMA_RETURN_IF_ERROR(stored_.Read(stored, part));
  for (size_t i = 0; i < requests.size(); ++i) {
    const WeightRequest& request = requests[i];
    if (is_stored_(request.key)) continue;
    const auto shape = shapes_.find(request.key);
    if (shape == shapes_.end())
      return absl::NotFoundError(absl::StrCat("no plan has a weight ", request.key));
    const WeightPiece piece = {i, 0, static_cast<size_t>(request.bytes)};
    GEMMA_ASSIGN_OR_RETURN(std::byte * memory, sink.Reserve(piece));
    FillRandomWeight(shape->second, SeedOf(request.key), {memory, piece.size});
    GEMMA_RETURN_IF_ERROR(sink.Accept(piece));
    done += request.bytes;
    if (progress_) progress_(done, total);
  }
  return absl::OkStatus();
}

}  // namespace gemma
