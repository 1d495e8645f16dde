// Arithmetic on sizes that come from files:
// a result that does not fit is an error, never a wrapped number.
#ifndef CC_BASE_CHECKED_MATH_H_
#define CC_BASE_CHECKED_MATH_H_

#include <concepts>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace gemma {

// a * b, or OutOfRange naming both operands.
template <std::unsigned_integral T>
absl::StatusOr<T> CheckedMul(T a, T b) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) {
    return absl::OutOfRangeError(
        absl::StrCat(a, " * ", b, " is larger than ", std::numeric_limits<T>::max()));
  }
  return product;
}

// a + b, or OutOfRange naming both operands.
template <std::unsigned_integral T>
absl::StatusOr<T> CheckedAdd(T a, T b) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) {
    return absl::OutOfRangeError(
        absl::StrCat(a, " + ", b, " is larger than ", std::numeric_limits<T>::max()));
  }
  return sum;
}

// The smallest multiple of `multiple` (not 0) that is >= value, or OutOfRange.
template <std::unsigned_integral T>
absl::StatusOr<T> CheckedRoundUp(T value, T multiple) {
  const T remainder = value % multiple;
  if (remainder == 0) return value;
  return CheckedAdd<T>(value, multiple - remainder);
}

}  // namespace gemma

#endif  // CC_BASE_CHECKED_MATH_H_
