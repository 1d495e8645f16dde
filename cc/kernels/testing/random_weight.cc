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

// Where the plane that starts at `begin` ends: at the next plane's start or the blob's end. Padding
// is filled too.
uint64_t PlaneEnd(const WeightPlanes& planes, uint64_t begin) {
  uint64_t end = planes.bytes;
  for (uint64_t start :
       {planes.values, planes.bits, planes.pairs, planes.scales, planes.mins, planes.blocks}) {
    if (start != WeightPlanes::kAbsent && start > begin && start < end) end = start;
  }
  return end;
}

void FillScales(const WeightPlanes& planes, uint64_t begin, Filler& filler) {
  if (begin == WeightPlanes::kAbsent) return;
  if (planes.float_scales) {
    filler.Floats(begin, PlaneEnd(planes, begin));
  } else {
    filler.Halves(begin, PlaneEnd(planes, begin));
  }
}

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
  if (HasGroups(shape.layout)) {
    FillScales(planes, planes.scales, filler);
    FillScales(planes, planes.mins, filler);
  } else {
    filler.Halves(planes.blocks, planes.bytes);
  }
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
