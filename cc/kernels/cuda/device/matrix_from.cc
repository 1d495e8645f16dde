#include "cc/kernels/cuda/device/matrix_from.h"

namespace gemma::cuda {
namespace {

constexpr bool SameNumbers() {
  return static_cast<int>(Layout::kF32) == static_cast<int>(WeightLayout::kF32) &&
         static_cast<int>(Layout::kF16) == static_cast<int>(WeightLayout::kF16) &&
         static_cast<int>(Layout::kBF16) == static_cast<int>(WeightLayout::kBF16) &&
         static_cast<int>(Layout::kInt8) == static_cast<int>(WeightLayout::kInt8) &&
         static_cast<int>(Layout::kInt4) == static_cast<int>(WeightLayout::kInt4) &&
         static_cast<int>(Layout::kInt4Min) == static_cast<int>(WeightLayout::kInt4Min) &&
         static_cast<int>(Layout::kInt5) == static_cast<int>(WeightLayout::kInt5) &&
         static_cast<int>(Layout::kInt5Min) == static_cast<int>(WeightLayout::kInt5Min) &&
         static_cast<int>(Layout::kQ4_K) == static_cast<int>(WeightLayout::kQ4_K) &&
         static_cast<int>(Layout::kQ5_K) == static_cast<int>(WeightLayout::kQ5_K) &&
         static_cast<int>(Layout::kQ6_K) == static_cast<int>(WeightLayout::kQ6_K) &&
         kWeightLayouts == 11;
}
static_assert(SameNumbers());

}  // namespace

Matrix MatrixFrom(const WeightView& weight) {
  const WeightPlanes& planes = weight.planes;
  auto plane = [&](uint64_t offset) {
    return offset == WeightPlanes::kAbsent ? nullptr : weight.plane(offset);
  };
  Matrix m;
  m.values = plane(planes.values);
  m.extra = plane(planes.bits != WeightPlanes::kAbsent ? planes.bits : planes.pairs);
  m.scales = plane(planes.scales);
  m.mins = plane(planes.mins);
  m.blocks = plane(planes.blocks);
  m.rows = static_cast<int32_t>(weight.shape.rows);
  m.columns = static_cast<int32_t>(weight.shape.columns);
  m.group = static_cast<int32_t>(weight.shape.group);
  m.float_scales = planes.float_scales;
  m.layout = static_cast<Layout>(weight.shape.layout);
  return m;
}

}  // namespace gemma::cuda
