#include "cc/kernels/cuda/product/product.h"

#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/gemm/gemm.h"
#include "cc/kernels/limits.h"

namespace gemma::cuda {
namespace {

// Above so many rows of input, weights with more columns than rows that no kernel streams are
// slower as matrix-vector products than as a matrix product whose blocks share columns (a third of
// the speed on an H100 with 4 to 8 tokens): they have too few rows to occupy the GPU.
constexpr int64_t kTallRows = 2;

bool TakesMatvec(const Product& op, const Device& device) {
  if (op.norm.x != nullptr) return true;
  if (op.rows() > kMaxDecodeTokens) return false;
  if (!HasTileGemm(op, device) || MatvecStreams(op, device)) return true;
  const WeightShape& shape = op.outputs[0].weight.shape;
  if (op.rows() > kTallRows && shape.columns > shape.rows) return false;
  return MatvecFits(op, device);
}

}  // namespace

absl::Status RunProduct(const Product& op, const Context& context) {
  GEMMA_RETURN_IF_ERROR(CheckProduct("product", op));
  return TakesMatvec(op, context.device) ? RunMatvec(op, context) : RunGemm(op, context);
}

std::vector<PlannedLaunch> PlanProduct(const Product& op, const Device& device) {
  return TakesMatvec(op, device) ? PlanMatvec(op, device) : PlanGemm(op, device);
}

Regions ProductRegions(const Device& device, int64_t tokens) {
  Regions regions = MatvecRegions(device);
  if (tokens > 1) AddRegions(GemmRegions(device), regions);
  return regions;
}

}  // namespace gemma::cuda
