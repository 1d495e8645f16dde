#include "cc/kernels/cuda/runtime/operands.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace gemma::cuda {

absl::Status CheckProduct(absl::string_view who, const Product& op) {
  if (op.tokens < 1 || op.tokens > std::numeric_limits<int32_t>::max() / 2)
    return absl::InvalidArgumentError(absl::StrCat(who, ": ", op.tokens, " tokens"));
  if (op.outputs.empty() || op.outputs.size() > kMaxProductOutputs) {
    return absl::InvalidArgumentError(
        absl::StrCat(who, ": ", op.outputs.size(), " outputs (1 to ", kMaxProductOutputs, ")"));
  }
  const WeightShape& first = op.outputs[0].weight.shape;
  for (const Product::Output& output : op.outputs) {
    if (output.weight.shape.columns != first.columns) {
      return absl::InvalidArgumentError(
          absl::StrCat(who, ": weights of ", output.weight.shape.columns, " and ", first.columns,
                       " columns cannot share an input"));
    }
  }
  if (op.gated && (op.outputs.size() != 2 || op.outputs[1].weight.shape.rows != first.rows))
    return absl::InvalidArgumentError(
        absl::StrCat(who, ": a gated product needs two weights of equal shape"));
  if (!IsHalf(op.in_number) ||
      (op.out_number != Number::kFloat32 && op.out_number != op.in_number)) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, ": outputs are float32 or like the input, which is float16 or pairs of it"));
  }
  return absl::OkStatus();
}

Prefetch FirstWeightsOf(const Product& next) {
  constexpr int64_t kBudget = int64_t{8} << 20;  // of values; measured
  Prefetch prefetch;
  int ranges = 0;
  int64_t left = kBudget;
  const auto add = [&](const WeightView& weight, uint64_t plane, int64_t bytes) {
    if (plane == WeightPlanes::kAbsent || ranges == Prefetch::kMaxRanges) return;
    prefetch.ranges[ranges++] = {weight.plane(plane), bytes / 16 * 16};
  };
  for (const Product::Output& output : next.outputs) {
    const WeightShape& shape = output.weight.shape;
    const int64_t row_bytes = int64_t{shape.columns / 32} * ValueBytes(shape.layout);
    if (row_bytes == 0) continue;
    const int64_t share = next.gated ? kBudget / 2 : left;
    const int64_t rows = std::min<int64_t>(shape.rows, share / row_bytes);
    add(output.weight, output.weight.planes.values, rows * row_bytes);
    if (HasGroups(shape.layout) && !output.weight.planes.float_scales) {
      const int64_t scale_bytes = rows * (shape.columns / shape.group) * 2;
      add(output.weight, output.weight.planes.scales, scale_bytes);
      add(output.weight, output.weight.planes.mins, scale_bytes);
    }
    left -= rows * row_bytes;
  }
  return prefetch;
}

}  // namespace gemma::cuda
