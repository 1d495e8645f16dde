#include "cc/kernels/cuda/gemm.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/matrix_from.h"

namespace gemma::cuda {
namespace {

absl::Status Check(const Gemm& op) {
  if (op.tokens < 1 || op.tokens > std::numeric_limits<int32_t>::max())
    return absl::InvalidArgumentError(absl::StrCat("gemm: ", op.tokens, " tokens"));
  if (op.outputs.empty() || op.outputs.size() > kMaxGemmParts) {
    return absl::InvalidArgumentError(
        absl::StrCat("gemm: ", op.outputs.size(), " outputs (1 to ", kMaxGemmParts, ")"));
  }
  const WeightShape& first = op.outputs[0].weight.shape;
  for (const Gemm::Output& output : op.outputs) {
    if (output.weight.shape.columns != first.columns) {
      return absl::InvalidArgumentError(
          absl::StrCat("gemm: weights of ", output.weight.shape.columns, " and ", first.columns,
                       " columns cannot share an input"));
    }
  }
  if (op.gated && (op.outputs.size() != 2 || op.outputs[1].weight.shape.rows != first.rows))
    return absl::InvalidArgumentError("gemm: a gated product needs two weights of equal shape");
  return absl::OkStatus();
}

GemmParams CommonParams(const Gemm& op) {
  GemmParams params;
  params.columns = static_cast<int32_t>(op.outputs[0].weight.shape.columns);
  params.tokens = static_cast<int32_t>(op.tokens);
  params.gated = op.gated;
  params.half_out = op.half_out;
  params.softcap = op.softcap;
  params.in = op.in;
  return params;
}

void AddPart(const Gemm::Output& first, const Gemm::Output& second, GemmParams& params) {
  params.parts[params.part_count++] = {MatrixFrom(first.weight), MatrixFrom(second.weight),
                                       first.out};
}

}  // namespace

size_t GemmBytes(const Device&) { return 0; }

absl::string_view GemmKernelName(const Gemm&, size_t, const Device&) { return "any shape"; }

absl::Status RunGemm(const Gemm& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(Check(op));
  GemmParams params = CommonParams(op);
  if (op.gated) {
    AddPart(op.outputs[0], op.outputs[1], params);
  } else {
    for (const Gemm::Output& output : op.outputs) AddPart(output, output, params);
  }
  return ToStatus(LaunchGemmAnyShape(params, {context.overlap, context.stream}), "gemm");
}

}  // namespace gemma::cuda
