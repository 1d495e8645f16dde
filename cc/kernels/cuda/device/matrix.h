// A weight in device memory as the kernels see it: plane pointers and numbers, no status types, so
// that kernel sources compile quickly. MatrixFrom (matrix_from.h) makes one from a checked
// WeightView.
#ifndef CC_KERNELS_CUDA_DEVICE_MATRIX_H_
#define CC_KERNELS_CUDA_DEVICE_MATRIX_H_

#include <cstddef>
#include <cstdint>

namespace gemma::cuda {

// The numbers of WeightLayout (cc/kernels/weight_layout.h), which matrix_from.cc asserts.
enum class Layout : uint8_t {
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

// The planes of docs/formats.md, each aligned to 128 bytes, in memory that can be read up to 16
// bytes past the last one.
struct Matrix {
  const std::byte* values = nullptr;
  const std::byte* extra = nullptr;  // the bit plane or the pair plane
  const std::byte* scales =
      nullptr;  // float16, float32 (float_scales), 12 packed bytes (Q4_K, Q5_K) or int8 (Q6_K)
  const std::byte* mins = nullptr;
  const std::byte* blocks = nullptr;  // float16 d, dmin (Q4_K, Q5_K) or d (Q6_K)
  int32_t rows = 0;
  int32_t columns = 0;
  int32_t group = 0;          // columns that share a scale; 0 for layouts without groups
  bool float_scales = false;  // one float32 scale (and min) a row
  Layout layout = Layout::kF32;
};

constexpr bool HasBitPlane(Layout l) {
  return l == Layout::kInt5 || l == Layout::kInt5Min || l == Layout::kQ5_K;
}
constexpr bool HasMins(Layout l) { return l == Layout::kInt4Min || l == Layout::kInt5Min; }
constexpr bool HasPackedScales(Layout l) { return l == Layout::kQ4_K || l == Layout::kQ5_K; }
constexpr bool HasNibbles(Layout l) { return l >= Layout::kInt4; }
constexpr bool IsFloat(Layout l) { return l <= Layout::kBF16; }

// Bytes of the value plane that hold 32 columns.
constexpr int ValueBytes(Layout l) {
  if (l == Layout::kF32) return 128;
  if (IsFloat(l)) return 64;
  return l == Layout::kInt8 ? 32 : 16;
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_MATRIX_H_
