#include "cc/weights/random_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/reference.h"
#include "cc/weights/load_tasks.h"
#include "cc/weights/part_sink.h"

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

}  // namespace

// Numbers around a middle that replace the random bits there.
struct RandomWeightBytes::Scales {
  ScaleNumbers numbers;
  float middle = 0;
};

struct RandomWeightBytes::State {
  WeightShape shape;
  Random random;               // what every byte comes from
  Random scale_random;         // goes on where `random` ends
  std::vector<Scales> scales;  // by offset
  size_t next = 0;             // of `scales`
  uint64_t number = 0;         // in scales[next]
  uint64_t offset = 0;         // of the next byte

  // Overwrites what of the scales falls into `bytes`, which begin at `offset`.
  void FillScales(std::span<std::byte> bytes) {
    while (next < scales.size()) {
      const Scales& plane = scales[next];
      for (; number < plane.numbers.count; ++number) {
        const uint64_t at = plane.numbers.offset + plane.numbers.stride * number;
        if (at >= offset + bytes.size()) return;
        const float value = plane.middle * (0.5f + scale_random.Uniform());
        const uint16_t half = reference::FloatToHalf(value);
        if (plane.numbers.floats) std::memcpy(&bytes[at - offset], &value, sizeof(value));
        if (!plane.numbers.floats) std::memcpy(&bytes[at - offset], &half, sizeof(half));
      }
      ++next;
      number = 0;
    }
  }
};

std::vector<RandomWeightBytes::Scales> RandomWeightBytes::PlanScales(const WeightShape& shape,
                                                                     const WeightPlanes& planes) {
  const float scale =
      1 / std::sqrt(static_cast<float>(shape.columns)) / TraitsOf(shape.layout).spread;
  const float min = (HasBitPlane(shape.layout) ? -16 : -8) * scale;
  std::vector<Scales> scales;
  for (const ScaleNumbers& numbers : ScaleNumbersOf(shape, planes))
    scales.push_back({numbers, numbers.mins ? min : scale});
  return scales;
}

RandomWeightBytes::RandomWeightBytes(const WeightShape& shape, uint64_t seed)
    : state_(new State{shape, Random(seed), Random(seed), {}}) {
  if (IsFloat(shape.layout)) return;
  const WeightPlanes planes = LayOutWeight(shape).value();
  state_->scales = PlanScales(shape, planes);
  for (uint64_t i = 0; i < planes.bytes; i += sizeof(uint64_t)) state_->scale_random.Word();
}

RandomWeightBytes::~RandomWeightBytes() = default;

void RandomWeightBytes::Next(std::span<std::byte> bytes) {
  if (IsFloat(state_->shape.layout)) {
    FillFloats(state_->shape, bytes, state_->random);
  } else {
    FillBytes(bytes, state_->random);
    state_->FillScales(bytes);
  }
  state_->offset += bytes.size();
}

void FillRandomWeight(const WeightShape& shape, uint64_t seed, std::span<std::byte> bytes) {
  RandomWeightBytes(shape, seed).Next(bytes);
}

RandomWeights::RandomWeights(std::span<const PlanWeight> weights, WeightSource& stored,
                             std::function<bool(const std::string&)> is_stored,
                             std::function<void(uint64_t, uint64_t)> progress)
    : stored_(stored), is_stored_(std::move(is_stored)), progress_(std::move(progress)) {
  for (const PlanWeight& weight : weights) shapes_.emplace(weight.data_key, weight.shape);
}

absl::Status RandomWeights::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  std::vector<WeightRequest> stored;
  std::vector<size_t> stored_indices, made_indices;
  uint64_t total = 0, stored_bytes = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const WeightRequest& request = requests[i];
    total += request.bytes;
    if (!is_stored_(request.key)) {
      if (!shapes_.contains(request.key))
        return absl::NotFoundError(absl::StrCat("no plan has a weight ", request.key));
      made_indices.push_back(i);
      continue;
    }
    stored.push_back(request);
    stored_indices.push_back(i);
    stored_bytes += request.bytes;
  }
  PartSink part(sink, stored_indices);
  GEMMA_RETURN_IF_ERROR(stored_.Read(stored, part));
  // The largest first, so that no thread is left alone with it.
  std::stable_sort(made_indices.begin(), made_indices.end(),
                   [&](size_t a, size_t b) { return requests[a].bytes > requests[b].bytes; });
  ByteProgress progress(total, progress_);
  progress.Add(stored_bytes);
  return RunLoadTasks(made_indices.size(), LoadThreads(0, made_indices.size(), sink),
                      [&](size_t task, const LoadStopped& stopped) {
                        const size_t index = made_indices[task];
                        return Make(index, requests[index], sink, progress, stopped);
                      });
}

absl::Status RandomWeights::Make(size_t index, const WeightRequest& request, WeightSink& sink,
                                 ByteProgress& progress, const LoadStopped& stopped) const {
  RandomWeightBytes bytes(shapes_.at(request.key), SeedOf(request.key));
  for (uint64_t done = 0; done < request.bytes;) {
    if (stopped) return absl::CancelledError("another weight cannot be made");
    const size_t size = std::min<uint64_t>(kMaxPieceBytes, request.bytes - done);
    const WeightPiece piece = {index, done, size};
    GEMMA_ASSIGN_OR_RETURN(std::byte * memory, sink.Reserve(piece));
    bytes.Next({memory, size});
    GEMMA_RETURN_IF_ERROR(sink.Accept(piece, memory));
    progress.Add(size);
    done += size;
  }
  return absl::OkStatus();
}

}  // namespace gemma
