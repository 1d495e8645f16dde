#include "cc/kernels/weight_layout.h"

#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

constexpr uint32_t kBlock = 256;  // columns of a K layout's block

bool IsKLayout(WeightLayout layout) {
  return layout == WeightLayout::kQ4_K || layout == WeightLayout::kQ5_K ||
         layout == WeightLayout::kQ6_K;
}

absl::Status CheckGroup(const WeightShape& shape) {
  const uint32_t group = shape.group;
  if (!HasGroups(shape.layout)) {
    if (group == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("group ", group, " for layout ",
                                                   WeightLayoutName(shape.layout),
                                                   ", which has none to choose (use 0)"));
  }
  if (group == 0 || group % 32 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("group ", group, " is not a positive multiple of 32"));
  }
  if (shape.columns % group != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("group ", group, " does not divide ", shape.columns,
                     " columns (use a divisor that is a multiple of 32)"));
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const WeightShape& shape) {
  if (static_cast<int>(shape.layout) >= kWeightLayouts) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", static_cast<int>(shape.layout),
                                                   " is unknown (use 0 to ", kWeightLayouts - 1,
                                                   ")"));
  }
  if (shape.rows == 0 || shape.columns == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape ", shape.rows, " x ", shape.columns, " is empty"));
  }
  if (IsKLayout(shape.layout) && shape.columns % kBlock != 0) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", WeightLayoutName(shape.layout),
                                                   " needs columns in blocks of ", kBlock,
                                                   ", which does not divide ", shape.columns));
  }
  return CheckGroup(shape);
}

// Places planes one after another.
class Planner {
 public:
  Planner(const WeightShape& shape, WeightPlanes& planes) : shape_(shape), planes_(planes) {}

  // A plane of [rows][row_bytes].
  absl::Status Place(uint64_t& offset, uint64_t row_bytes) {
    GEMMA_ASSIGN_OR_RETURN(offset, CheckedRoundUp(planes_.bytes, WeightPlanes::kAlignment));
    GEMMA_ASSIGN_OR_RETURN(const uint64_t bytes, CheckedMul<uint64_t>(shape_.rows, row_bytes));
    GEMMA_ASSIGN_OR_RETURN(planes_.bytes, CheckedAdd(offset, bytes));
    return absl::OkStatus();
  }

  absl::Status PlaceScales(uint64_t& offset) {
    planes_.float_scales = shape_.group == shape_.columns;
    return Place(offset, planes_.float_scales ? sizeof(float) : columns() / shape_.group * 2);
  }

  uint64_t columns() const { return shape_.columns; }

 private:
  const WeightShape& shape_;
  WeightPlanes& planes_;
};

absl::Status PlaceGrouped(WeightLayout layout, Planner& planner, WeightPlanes& planes) {
  const uint64_t columns = planner.columns();
  const bool has_bits = layout == WeightLayout::kInt5 || layout == WeightLayout::kInt5Min;
  const bool has_mins = layout == WeightLayout::kInt4Min || layout == WeightLayout::kInt5Min;
  GEMMA_RETURN_IF_ERROR(
      planner.Place(planes.values, layout == WeightLayout::kInt8 ? columns : columns / 2));
  if (has_bits) GEMMA_RETURN_IF_ERROR(planner.Place(planes.bits, columns / 8));
  GEMMA_RETURN_IF_ERROR(planner.PlaceScales(planes.scales));
  if (has_mins) GEMMA_RETURN_IF_ERROR(planner.PlaceScales(planes.mins));
  return absl::OkStatus();
}

absl::Status PlaceBlocks(WeightLayout layout, Planner& planner, WeightPlanes& planes) {
  const uint64_t columns = planner.columns();
  GEMMA_RETURN_IF_ERROR(planner.Place(planes.values, columns / 2));
  if (layout == WeightLayout::kQ6_K) {
    GEMMA_RETURN_IF_ERROR(planner.Place(planes.pairs, columns / 4));
    GEMMA_RETURN_IF_ERROR(planner.Place(planes.scales, columns / 16));
    return planner.Place(planes.blocks, columns / kBlock * 2);
  }
  if (layout == WeightLayout::kQ5_K) {
    GEMMA_RETURN_IF_ERROR(planner.Place(planes.bits, columns / 8));
  }
  GEMMA_RETURN_IF_ERROR(planner.Place(planes.scales, columns / kBlock * 12));
  return planner.Place(planes.blocks, columns / kBlock * 4);
}

}  // namespace

absl::string_view WeightLayoutName(WeightLayout layout) {
  constexpr absl::string_view kNames[kWeightLayouts] = {
      "F32", "F16", "BF16", "INT8", "INT4", "INT4_MIN", "INT5", "INT5_MIN", "Q4_K", "Q5_K", "Q6_K"};
  const int index = static_cast<int>(layout);
  return index < kWeightLayouts ? kNames[index] : "unknown";
}

bool HasGroups(WeightLayout layout) {
  return layout >= WeightLayout::kInt8 && layout <= WeightLayout::kInt5Min;
}

absl::StatusOr<WeightPlanes> LayOutWeight(const WeightShape& shape) {
  GEMMA_RETURN_IF_ERROR(CheckShape(shape));
  WeightPlanes planes;
  Planner planner(shape, planes);
  if (HasGroups(shape.layout)) {
    GEMMA_RETURN_IF_ERROR(PlaceGrouped(shape.layout, planner, planes));
  } else if (IsKLayout(shape.layout)) {
    GEMMA_RETURN_IF_ERROR(PlaceBlocks(shape.layout, planner, planes));
  } else {
    const uint64_t element = shape.layout == WeightLayout::kF32 ? 4 : 2;
    GEMMA_RETURN_IF_ERROR(planner.Place(planes.values, planner.columns() * element));
  }
  return planes;
}

absl::StatusOr<WeightView> WeightView::Create(const WeightShape& shape,
                                              std::span<const std::byte> blob) {
  GEMMA_ASSIGN_OR_RETURN(const WeightPlanes planes, LayOutWeight(shape));
  if (blob.size() != planes.bytes) {
    return absl::InvalidArgumentError(absl::StrCat(WeightLayoutName(shape.layout), " [", shape.rows,
                                                   ", ", shape.columns, "] takes ", planes.bytes,
                                                   " bytes, but there are ", blob.size()));
  }
  return WeightView{shape, planes, blob.data()};
}

}  // namespace gemma
