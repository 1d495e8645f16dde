#include "cc/kernels/cuda/pointwise/pointwise.h"

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/device/matrix_from.h"

namespace gemma::cuda {

absl::Status RunNorm(const NormParams& op, const Context& context) {
  const size_t row_bytes = static_cast<size_t>(op.columns) * sizeof(float) + 1024;
  if (op.columns < 4 || op.columns % 4 != 0 || row_bytes > context.device.shared_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("norm: ", op.columns, " columns (a multiple of 4 up to ",
                     (context.device.shared_bytes - 1024) / sizeof(float), ")"));
  }
  if (op.branch.paired) return absl::InvalidArgumentError("norm: an input of pairs");
  if (op.rows < 1 || (op.x == nullptr && op.branch.data == nullptr)) {
    return absl::InvalidArgumentError(absl::StrCat("norm: ", op.rows, " rows or no input"));
  }
  return ToStatus(LaunchNorm(op, context.overlap, context.stream), "norm");
}

absl::Status RunEmbed(const WeightView& weight, EmbedParams op, const Context& context) {
  op.weight = MatrixFrom(weight);
  if (op.tokens < 1)
    return absl::InvalidArgumentError(absl::StrCat("embed: ", op.tokens, " tokens"));
  return ToStatus(LaunchEmbed(op, context.overlap, context.stream), "embed");
}

absl::Status RunPointwise(const PointwiseParams& op, const Context& context) {
  if (op.size < 1)
    return absl::InvalidArgumentError(absl::StrCat("pointwise: ", op.size, " elements"));
  if (op.a.paired || op.b.paired || (op.out.paired && op.columns < 1))
    return absl::InvalidArgumentError("pointwise: an input of pairs, or pairs without columns");
  return ToStatus(LaunchPointwise(op, context.overlap, context.stream), "pointwise");
}

absl::Status RunDequantize(const WeightView& weight, float* out, const Context& context) {
  return ToStatus(LaunchDequantize(MatrixFrom(weight), out, context.stream), "dequantize");
}

}  // namespace gemma::cuda
