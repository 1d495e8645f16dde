#include "cc/kernels/cuda/runtime/operands.h"

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

}  // namespace gemma::cuda
