// How a weight's bytes encode its matrix [rows, columns]: planes,
// their offsets and sizes (docs/formats.md, "Weight layouts").
// Shared by the CPU and the CUDA kernels. Nothing here reads a weight's values.
#ifndef CC_KERNELS_WEIGHT_LAYOUT_H_
#define CC_KERNELS_WEIGHT_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/layout.h"

namespace gemma {

// "F32", "INT4_MIN", "Q4_K"...; "unknown" for a number outside of the enum.
absl::string_view WeightLayoutName(WeightLayout layout);

struct WeightShape {
  WeightLayout layout = WeightLayout::kF32;
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t group = 0;  // columns that share a scale; 0 for layouts without HasGroups
};

// Byte offsets of the planes from the blob's start (multiples of 128); kAbsent where the layout has
// no such plane.
struct WeightPlanes {
  static constexpr uint64_t kAbsent = ~uint64_t{0};
  static constexpr uint64_t kAlignment = 128;

  uint64_t values = kAbsent;  // F32, F16, BF16, int8, or nibbles
  uint64_t bits = kAbsent;    // bit 4 of q: INT5, INT5_MIN, Q5_K
  uint64_t pairs = kAbsent;   // bits 4-5 of q: Q6_K
  // float16 or float32 (see float_scales); Q4_K, Q5_K: 12 packed bytes; Q6_K: int8
  uint64_t scales = kAbsent;
  uint64_t mins = kAbsent;    // like scales: INT4_MIN, INT5_MIN
  uint64_t blocks = kAbsent;  // float16 (d, dmin) of Q4_K and Q5_K; float16 d of Q6_K
  uint64_t bytes = 0;         // the blob's size: where the last plane ends
  bool float_scales = false;  // one float32 scale (and min) a row, because group = columns
};

// Checks the shape and computes its planes. InvalidArgument or OutOfRange with a sentence that
// lacks only the weight's name: "group 48 does not divide 5376 columns (use a divisor that is a
// multiple of 32)".
absl::StatusOr<WeightPlanes> LayOutWeight(const WeightShape& shape);

// A weight in memory. `data` is not owned;
// the kernels ask for no alignment, but are faster with 64 bytes.
struct WeightView {
  WeightShape shape;
  WeightPlanes planes;
  const std::byte* data = nullptr;

  // Fails where LayOutWeight does, and when blob.size() differs from planes.bytes.
  static absl::StatusOr<WeightView> Create(const WeightShape& shape,
                                           std::span<const std::byte> blob);

  const std::byte* plane(uint64_t offset) const { return data + offset; }
};

}  // namespace gemma

#endif  // CC_KERNELS_WEIGHT_LAYOUT_H_
