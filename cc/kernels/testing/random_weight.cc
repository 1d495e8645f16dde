#include "cc/kernels/testing/random_weight.h"

#include <cstring>
#include <new>

#include "cc/kernels/reference.h"

namespace gemma {
namespace {

constexpr std::align_val_t kAlignment{128};

// Fills [begin, end) of a plane.
class Filler {
 public:
  Filler(std::byte* blob, uint32_t seed) : blob_(blob), random_(seed) {}

  void Bytes(uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) blob_[i] = static_cast<std::byte>(random_() & 255);
  }
  void Numbers(const ScaleNumbers& numbers) {
    for (uint64_t i = 0; i < numbers.count; ++i) {
      const uint64_t offset = numbers.offset + i * numbers.stride;
      if (numbers.floats) Write(offset, Scale());
      if (!numbers.floats) Write(offset, reference::FloatToHalf(Scale()));
    }
  }
  void Floats(uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; i += 4) Write(i, Scale());
  }
  void Halves(uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; i += 2) Write(i, reference::FloatToHalf(Scale()));
  }
  void Bfloat16s(uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; i += 2) Write(i, reference::FloatToBfloat16(Scale()));
  }

 private:
  float Scale() {
    const float size = 0.01f + 0.01f * static_cast<float>(random_() % 10007) / 10007;
    return random_() % 2 == 0 ? size : -size;
  }
  template <typename T>
  void Write(uint64_t offset, T value) {
    std::memcpy(blob_ + offset, &value, sizeof(value));
  }

  std::byte* blob_;
  std::minstd_rand random_;
};

void Fill(const WeightShape& shape, const WeightPlanes& planes, std::byte* blob, uint32_t seed) {
  Filler filler(blob, seed);
  switch (shape.layout) {
    case WeightLayout::kF32:
      return filler.Floats(0, planes.bytes);
    case WeightLayout::kF16:
      return filler.Halves(0, planes.bytes);
    case WeightLayout::kBF16:
      return filler.Bfloat16s(0, planes.bytes);
    default:
      break;
  }
  filler.Bytes(0, planes.bytes);
  for (const ScaleNumbers& numbers : ScaleNumbersOf(shape, planes)) filler.Numbers(numbers);
}

}  // namespace

RandomWeight::RandomWeight(const WeightShape& shape, uint32_t seed) {
  const WeightPlanes planes = LayOutWeight(shape).value();
  // Not a byte more than the planes take, so that a sanitizer sees every read past the end.
  blob_.reset(static_cast<std::byte*>(operator new(planes.bytes, kAlignment)));
  Fill(shape, planes, blob_.get(), seed);
  view_ = {shape, planes, blob_.get()};
}

void RandomWeight::Free::operator()(std::byte* memory) const {
  operator delete(memory, kAlignment);
}

std::vector<float> RandomFloats(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace gemma
