#include "cc/kernels/cuda/device/matrix_from.h"

namespace gemma::cuda {
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
  m.layout = weight.shape.layout;
  return m;
}

}  // namespace gemma::cuda
