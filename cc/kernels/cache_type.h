// The types of the numbers in a key/value cache, and what is asked of one: the single place that
// lists them in C++. A type stores numbers as a weight layout of plain numbers does (layout.h), so
// that the kernels need no reading and writing of their own for it.
//
// A new type of such numbers: its value and its line in NumbersOf here, its value in plan.fbs and
// python/plan/plan.py, and what a GPU makes of it in CacheShape of cc/executor/cuda/session.cc.
#ifndef CC_KERNELS_CACHE_TYPE_H_
#define CC_KERNELS_CACHE_TYPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cc/kernels/layout.h"

namespace gemma {

// The numbers are those of `DType` in the plan's schema (plan.fbs).
enum class CacheType : uint8_t { kF32 = 0, kBF16 = 1, kF16 = 2 };
inline constexpr std::array kCacheTypes = {CacheType::kF32, CacheType::kBF16, CacheType::kF16};

// The layout that stores the same numbers.
constexpr WeightLayout NumbersOf(CacheType type) {
  switch (type) {
    case CacheType::kF32:
      return WeightLayout::kF32;
    case CacheType::kBF16:
      return WeightLayout::kBF16;
    case CacheType::kF16:
      return WeightLayout::kF16;
  }
  return {};
}

// "F32", "BF16", "F16"
constexpr const char* CacheTypeName(CacheType type) { return TraitsOf(NumbersOf(type)).name; }

constexpr size_t CacheElementBytes(CacheType type) {
  return static_cast<size_t>(TraitsOf(NumbersOf(type)).value_bits) / 8;
}

inline constexpr float kFloat16Max = 65504;

// The largest magnitude that a number of the type can have.
constexpr float LargestOf(CacheType type) {
  return type == CacheType::kF16 ? kFloat16Max : std::numeric_limits<float>::max();
}

}  // namespace gemma

#endif  // CC_KERNELS_CACHE_TYPE_H_
