// The weight layouts, and what every kernel asks of one: the single place that lists them in C++.
// Plain numbers, no status types, so that device code includes it too.
//
// A new layout: its line in TraitsOf, its values in reference.cc, and an instantiation of the CUDA
// kernels in cuda/matvec and cuda/gemm; all else follows from here. A new kind of `Scales` also needs
// its planes in weight_layout.cc and its decoding in cpu/weight_rows.inc.h, cuda/device/decode.h,
// cuda/matvec/{copy,multiply}.h and cuda/gemm/sm90_weights.h.
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
  kIq4Nl = 11,
  kIq4Xs = 12,
  kNvfp4 = 13,
};
inline constexpr int kWeightLayouts = 14;

// How a layout scales its integers.
enum class Scales : uint8_t {
  kNone,    // numbers as they are
  kGroups,  // a float16 for each group of columns (the weight chooses its size); or a float32 a row
  kPacked,  // 8 groups of 32 columns: 6 bits each for scale and min, and float16 d and dmin
  kInt8,    // 16 groups of 16 columns: an int8 each, and a float16 d
  kSigned6,  // 8 groups of 32 columns: 6 bits each, and a float16 d
  kE4m3,     // an E4M3 for each 16 columns, and a float32 a row
};

// What the 16 codes of a nibble stand for.
enum class Levels : uint8_t {
  kEven,  // 0 to 15
  kIq4,   // IQ4_NL, IQ4_XS (ggml-common.h, kvalues_iq4nl)
  kE2m1,  // NVFP4: twice an E2M1 number
};

struct LayoutTraits {
  const char* name = "unknown";
  int value_bits = 0;  // of a number in the value plane
  int extra_bits = 0;  // more bits of it: 1 in the bit plane, 2 in the pair plane
  Scales scales = Scales::kNone;
  // Deviation of a weight whose bits are random, where its floating-point numbers are 1.
  float spread = 1;
  int zero_point = 0;  // what is subtracted from the integer before it is scaled
  bool mins = false;   // one beside every scale of kGroups
  Levels levels = Levels::kEven;
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
      return {"INT8", 8, 0, Scales::kGroups, 74};
    case WeightLayout::kInt4:
      return {"INT4", 4, 0, Scales::kGroups, 4.6f, 8};
    case WeightLayout::kInt4Min:
      return {"INT4_MIN", 4, 0, Scales::kGroups, 4.6f, 0, true};
    case WeightLayout::kInt5:
      return {"INT5", 4, 1, Scales::kGroups, 9.2f, 16};
    case WeightLayout::kInt5Min:
      return {"INT5_MIN", 4, 1, Scales::kGroups, 9.2f, 0, true};
    case WeightLayout::kQ4_K:
      return {"Q4_K", 4, 0, Scales::kPacked, 256};
    case WeightLayout::kQ5_K:
      return {"Q5_K", 4, 1, Scales::kPacked, 640};
    case WeightLayout::kQ6_K:
      return {"Q6_K", 4, 2, Scales::kInt8, 1360, 32};
    case WeightLayout::kIq4Nl:
      return {"IQ4_NL", 4, 0, Scales::kGroups, 67, 127, false, Levels::kIq4};
    case WeightLayout::kIq4Xs:
      return {"IQ4_XS", 4, 0, Scales::kSigned6, 1250, 127, false, Levels::kIq4};
    case WeightLayout::kNvfp4:
      return {"NVFP4", 4, 0, Scales::kE4m3, 634, 12, false, Levels::kE2m1};
  }
  return {};
}

// The integer that each nibble stands for, before the zero point is subtracted.
struct LevelTable {
  uint8_t of[16];
};
constexpr LevelTable LevelsOf(Levels levels) {
  switch (levels) {
    case Levels::kEven:
      break;
    case Levels::kIq4:
      // -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
      return {{0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240}};
    case Levels::kE2m1:
      // 0, 1, 2, 3, 4, 6, 8, 12, and the same negated
      return {{12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0}};
  }
  return {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
}

constexpr int ZeroPoint(WeightLayout l) { return TraitsOf(l).zero_point; }
constexpr bool IsFloat(WeightLayout l) { return TraitsOf(l).scales == Scales::kNone; }
// Columns that share a scale are the weight's own choice.
constexpr bool HasGroups(WeightLayout l) { return TraitsOf(l).scales == Scales::kGroups; }
constexpr bool HasMins(WeightLayout l) { return TraitsOf(l).mins; }
// Nibbles that stand for integers which a table lists.
constexpr bool HasLevels(WeightLayout l) { return TraitsOf(l).levels != Levels::kEven; }
// 16 columns share a scale, not 32.
constexpr bool HasHalfScales(WeightLayout l) {
  return TraitsOf(l).scales == Scales::kInt8 || TraitsOf(l).scales == Scales::kE4m3;
}
constexpr bool HasInt8Scales(WeightLayout l) { return TraitsOf(l).scales == Scales::kInt8; }
constexpr bool HasSignedScales(WeightLayout l) { return TraitsOf(l).scales == Scales::kSigned6; }
// A float32 of each row multiplies all of it, beside the scales of its groups.
constexpr bool HasRowScales(WeightLayout l) { return TraitsOf(l).scales == Scales::kE4m3; }
constexpr bool HasPackedScales(WeightLayout l) { return TraitsOf(l).scales == Scales::kPacked; }
// Blocks of 256 columns.
constexpr bool HasBlocks(WeightLayout l) {
  const Scales scales = TraitsOf(l).scales;
  return scales == Scales::kPacked || scales == Scales::kInt8 || scales == Scales::kSigned6;
}
constexpr bool HasNibbles(WeightLayout l) { return TraitsOf(l).value_bits == 4; }
constexpr bool HasBitPlane(WeightLayout l) { return TraitsOf(l).extra_bits == 1; }
constexpr bool HasPairPlane(WeightLayout l) { return TraitsOf(l).extra_bits == 2; }
// Bits that hold any integer of the layout, the zero point not yet subtracted.
constexpr int CodeBits(WeightLayout l) {
  const LayoutTraits traits = TraitsOf(l);
  if (traits.levels == Levels::kIq4) return 8;
  if (traits.levels == Levels::kE2m1) return 5;
  return traits.value_bits + traits.extra_bits;
}
// Bytes of the value plane that hold 32 columns.
constexpr int ValueBytes(WeightLayout l) { return TraitsOf(l).value_bits * 4; }

inline constexpr auto kAllWeightLayouts = [] {
  std::array<WeightLayout, kWeightLayouts> all{};
  for (int i = 0; i < kWeightLayouts; ++i) all[i] = static_cast<WeightLayout>(i);
  return all;
}();

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
