#include "cc/kernels/cuda/pointwise/pointwise.h"

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/device/matrix_from.h"

namespace gemma::cuda {

absl::Status RunNorm(const NormParams& op, const Context& context) {
  constexpr int kMost = NormColumns(kMaxNormPieces);
  if (op.columns < 4 || op.columns % 4 != 0 || op.columns > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat("norm: ", op.columns, " columns (a multiple of 4 up to ", kMost, ")"));
  }
  if (IsPair(op.branch.number)) return absl::InvalidArgumentError("norm: an input of pairs");
  if (op.rows < 1 || (op.x == nullptr && op.branch.data == nullptr)) {
    return absl::InvalidArgumentError(absl::StrCat("norm: ", op.rows, " rows or no input"));
  }
  return ToStatus(LaunchNorm(op, context.launch()), "norm");
}

absl::Status RunEmbed(const WeightView& weight, EmbedParams op, const Context& context) {
  op.weight = MatrixFrom(weight);
  if (op.tokens < 1)
    return absl::InvalidArgumentError(absl::StrCat("embed: ", op.tokens, " tokens"));
  return ToStatus(LaunchEmbed(op, context.launch()), "embed");
}

absl::Status RunPointwise(const PointwiseParams& op, const Context& context) {
  if (op.size < 1)
    return absl::InvalidArgumentError(absl::StrCat("pointwise: ", op.size, " elements"));
  if (IsPair(op.a.number) || IsPair(op.b.number) || (IsPair(op.out.number) && op.columns < 1))
    return absl::InvalidArgumentError("pointwise: an input of pairs, or pairs without columns");
  return ToStatus(LaunchPointwise(op, context.launch()), "pointwise");
}

}  // namespace gemma::cuda
