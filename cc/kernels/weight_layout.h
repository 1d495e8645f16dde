// How a weight's bytes encode its matrix [rows, columns]: planes,
// their offsets and sizes (docs/formats.md, "Weight layouts").
// Shared by the CPU and the CUDA kernels. Nothing here reads a weight's values.
#ifndef CC_KERNELS_WEIGHT_LAYOUT_H_
#define CC_KERNELS_WEIGHT_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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
  uint64_t bits = kAbsent;    // bit 4 of q (HasBitPlane)
  uint64_t pairs = kAbsent;   // bits 4-5 of q (HasPairPlane)
  // What `Scales` of the layout says, byte by byte in docs/formats.md: float16 or float32 (see
  // float_scales), or the integers that the floating-point numbers in `blocks` multiply.
  uint64_t scales = kAbsent;
  uint64_t mins = kAbsent;  // like scales (HasMins)
  uint64_t blocks = kAbsent;
  uint64_t bytes = 0;         // the blob's size: where the last plane ends
  bool float_scales = false;  // one float32 scale (and min) a row, because group = columns
};

// Checks the shape and computes its planes. InvalidArgument or OutOfRange with a sentence that
// lacks only the weight's name: "group 48 does not divide 5376 columns (use a divisor that is a
// multiple of 32)".
absl::StatusOr<WeightPlanes> LayOutWeight(const WeightShape& shape);

// Floating-point numbers among the bytes of a quantized weight: `count` float32 or float16,
// `stride` bytes apart, from `offset` on.
struct ScaleNumbers {
  uint64_t offset = 0;
  uint64_t count = 0;
  uint64_t stride = 0;
  bool floats = false;  // float32
  bool mins = false;
};

// All of them, by offset. Any other byte of a quantized weight may have any value.
std::vector<ScaleNumbers> ScaleNumbersOf(const WeightShape& shape, const WeightPlanes& planes);

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
