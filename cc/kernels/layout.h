// The weight layouts, and what every kernel asks of one: the single place that lists them in C++.
// Plain numbers, no status types, so that device code includes it too.
//
// A new layout: its line in TraitsOf, its planes in weight_layout.cc, its values in reference.cc,
// cpu/weight_rows.inc.h and cuda/device/decode.h, and an instantiation of the CUDA kernels in
// cuda/matvec and cuda/gemm; everything else follows from here.
#ifndef CC_KERNELS_LAYOUT_H_
#define CC_KERNELS_LAYOUT_H_

#include <array>
#include <cstdint>
#include <utility>

namespace gemma {

// The numbers are those of `Layout` in the plan's schema (plan.fbs).
enum class WeightLayout : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kBF16 = 2,
  kInt8 = 3,
  kInt4 = 4,
  kInt4Min = 5,
  kInt5 = 6,
  kInt5Min = 7,
  kQ4_K = 8,
  kQ5_K = 9,
  kQ6_K = 10,
};
inline constexpr int kWeightLayouts = 11;

// How a layout scales its integers.
enum class Scales : uint8_t {
  kNone,    // numbers as they are
  kGroups,  // a float16 for each group of columns (the weight chooses its size); or a float32 a row
  kPacked,  // 8 groups of 32 columns: 6 bits each for scale and min, and float16 d and dmin
  kInt8,    // 16 groups of 16 columns: an int8 each, and a float16 d
};

struct LayoutTraits {
  const char* name = "unknown";
  int value_bits = 0;  // of a number in the value plane
  int extra_bits = 0;  // more bits of it: 1 in the bit plane, 2 in the pair plane
  Scales scales = Scales::kNone;
  int zero_point = 0;  // what is subtracted from the integer before it is scaled
  bool mins = false;   // one beside every scale of kGroups
};

constexpr LayoutTraits TraitsOf(WeightLayout layout) {
  switch (layout) {
    case WeightLayout::kF32:
      return {"F32", 32};
    case WeightLayout::kF16:
      return {"F16", 16};
    case WeightLayout::kBF16:
      return {"BF16", 16};
    case WeightLayout::kInt8:
      return {"INT8", 8, 0, Scales::kGroups};
    case WeightLayout::kInt4:
      return {"INT4", 4, 0, Scales::kGroups, 8};
    case WeightLayout::kInt4Min:
      return {"INT4_MIN", 4, 0, Scales::kGroups, 0, true};
    case WeightLayout::kInt5:
      return {"INT5", 4, 1, Scales::kGroups, 16};
    case WeightLayout::kInt5Min:
      return {"INT5_MIN", 4, 1, Scales::kGroups, 0, true};
    case WeightLayout::kQ4_K:
      return {"Q4_K", 4, 0, Scales::kPacked};
    case WeightLayout::kQ5_K:
      return {"Q5_K", 4, 1, Scales::kPacked};
    case WeightLayout::kQ6_K:
      return {"Q6_K", 4, 2, Scales::kInt8, 32};
  }
  return {};
}

constexpr int ZeroPoint(WeightLayout l) { return TraitsOf(l).zero_point; }
constexpr bool IsFloat(WeightLayout l) { return TraitsOf(l).scales == Scales::kNone; }
// Columns that share a scale are the weight's own choice.
constexpr bool HasGroups(WeightLayout l) { return TraitsOf(l).scales == Scales::kGroups; }
constexpr bool HasMins(WeightLayout l) { return TraitsOf(l).mins; }
constexpr bool HasPackedScales(WeightLayout l) { return TraitsOf(l).scales == Scales::kPacked; }
// Blocks of 256 columns.
constexpr bool HasBlocks(WeightLayout l) {
  return HasPackedScales(l) || TraitsOf(l).scales == Scales::kInt8;
}
constexpr bool HasNibbles(WeightLayout l) { return TraitsOf(l).value_bits == 4; }
constexpr bool HasBitPlane(WeightLayout l) { return TraitsOf(l).extra_bits == 1; }
constexpr bool HasPairPlane(WeightLayout l) { return TraitsOf(l).extra_bits == 2; }
// Bytes of the value plane that hold 32 columns.
constexpr int ValueBytes(WeightLayout l) { return TraitsOf(l).value_bits * 4; }

// An entry for each layout, in their order: kTable[i] = make.operator()<WeightLayout(i)>(). For
// functions that are templates of the layout.
template <typename Make>
constexpr auto ForEachLayout(Make make) {
  return [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    return std::array{make.template operator()<static_cast<WeightLayout>(kIndex)>()...};
  }(std::make_integer_sequence<int, kWeightLayouts>());
}

}  // namespace gemma

#endif  // CC_KERNELS_LAYOUT_H_
