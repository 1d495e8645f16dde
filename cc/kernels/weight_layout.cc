#include "cc/kernels/weight_layout.h"

#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

constexpr uint32_t kBlock = 256;  // columns of a block (HasBlocks)

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
  const uint32_t block = HasBlocks(shape.layout) ? kBlock : IsFloat(shape.layout) ? 1 : 32;
  if (!HasGroups(shape.layout) && shape.columns % block != 0) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", WeightLayoutName(shape.layout),
                                                   " needs columns in blocks of ", block,
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

// Of `bits` bits a column.
uint64_t RowBytes(const Planner& planner, int bits) {
  return planner.columns() * static_cast<uint64_t>(bits) / 8;
}

absl::Status PlaceValues(const LayoutTraits& traits, Planner& planner, WeightPlanes& planes) {
  GEMMA_RETURN_IF_ERROR(planner.Place(planes.values, RowBytes(planner, traits.value_bits)));
  if (traits.extra_bits == 0) return absl::OkStatus();
  return planner.Place(traits.extra_bits == 1 ? planes.bits : planes.pairs,
                       RowBytes(planner, traits.extra_bits));
}

absl::Status PlaceFactors(const LayoutTraits& traits, Planner& planner, WeightPlanes& planes) {
  const uint64_t blocks = planner.columns() / kBlock;
  switch (traits.scales) {
    case Scales::kNone:
      return absl::OkStatus();
    case Scales::kGroups:
      GEMMA_RETURN_IF_ERROR(planner.PlaceScales(planes.scales));
      return traits.mins ? planner.PlaceScales(planes.mins) : absl::OkStatus();
    case Scales::kPacked:
      GEMMA_RETURN_IF_ERROR(planner.Place(planes.scales, blocks * 12));
      return planner.Place(planes.blocks, blocks * 4);
    case Scales::kInt8:
      GEMMA_RETURN_IF_ERROR(planner.Place(planes.scales, blocks * 16));
      return planner.Place(planes.blocks, blocks * 2);
    case Scales::kSigned6:
      return planner.Place(planes.scales, blocks * 8);
    case Scales::kE4m3:
      GEMMA_RETURN_IF_ERROR(planner.Place(planes.scales, planner.columns() / 16));
      return planner.Place(planes.blocks, sizeof(float));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view WeightLayoutName(WeightLayout layout) { return TraitsOf(layout).name; }

absl::StatusOr<WeightPlanes> LayOutWeight(const WeightShape& shape) {
  GEMMA_RETURN_IF_ERROR(CheckShape(shape));
  WeightPlanes planes;
  Planner planner(shape, planes);
  const LayoutTraits traits = TraitsOf(shape.layout);
  GEMMA_RETURN_IF_ERROR(PlaceValues(traits, planner, planes));
  GEMMA_RETURN_IF_ERROR(PlaceFactors(traits, planner, planes));
  return planes;
}

std::vector<ScaleNumbers> ScaleNumbersOf(const WeightShape& shape, const WeightPlanes& planes) {
  const uint64_t blocks = uint64_t{shape.rows} * (shape.columns / kBlock);
  const LayoutTraits traits = TraitsOf(shape.layout);
  switch (traits.scales) {
    case Scales::kNone:
      return {};
    case Scales::kGroups:
      break;
    case Scales::kPacked:
      return {{planes.blocks, 2 * blocks, 2}};
    case Scales::kInt8:
      return {{planes.blocks, blocks, 2}};
    case Scales::kSigned6:
      return {{planes.scales, blocks, 8}};
    case Scales::kE4m3:
      return {{planes.blocks, shape.rows, 4, true}};
  }
  const bool floats = planes.float_scales;
  const uint64_t count = floats ? shape.rows : uint64_t{shape.rows} * (shape.columns / shape.group);
  const uint64_t stride = floats ? 4 : 2;
  std::vector<ScaleNumbers> numbers = {{planes.scales, count, stride, floats}};
  if (traits.mins) numbers.push_back({planes.mins, count, stride, floats, true});
  return numbers;
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
