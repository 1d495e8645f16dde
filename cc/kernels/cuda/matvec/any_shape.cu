// The matrix-vector product for shapes that have no tiles: columns that are no multiple of 32, odd
// numbers of groups, gate and up of different layouts. One warp computes one row, value by value.
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/matvec/epilogue.h"
#include "cc/kernels/cuda/matvec/params.h"

namespace gemma::cuda {
namespace {

GEMMA_DEVICE void DotRow(const MatvecParams& p, const Matrix& m, int row,
                         float (&sums)[kMaxMatvecTokens]) {
  for (int t = 0; t < kMaxMatvecTokens; ++t) sums[t] = 0;
  for (int c = Lane(); c < p.columns; c += kWarp) {
    const float w = LoadValue(m, row, c);
    for (int t = 0; t < kMaxMatvecTokens; ++t) {
      if (t < p.tokens) sums[t] += w * HalfBitsToFloat(p.in[t * p.in_stride + c]);
    }
  }
  for (int t = 0; t < kMaxMatvecTokens; ++t) sums[t] = WarpSum(sums[t]) * kActivationUnit;
}

// Sums of pairs, in the first half.
GEMMA_DEVICE void AddRests(float (&sums)[kMaxMatvecTokens]) {
  for (int t = 0; t < kMaxMatvecTokens / 2; ++t) {
    sums[t] = sums[2 * t] + kPairUnit * sums[2 * t + 1];
  }
}

__global__ void __launch_bounds__(kMatvecWarps* kWarp)
    AnyShapeKernel(const __grid_constant__ MatvecParams p) {
  WaitForPreviousKernel();
  LetNextKernelStart();
  int row = static_cast<int>(blockIdx.x) * kMatvecWarps + WarpIndex();
  int i = 0;
  while (i < p.part_count && row >= p.parts[i].first.rows) row -= p.parts[i++].first.rows;
  if (i == p.part_count) return;
  const MatvecPart& part = p.parts[i];
  float sums[kMaxMatvecTokens], up[kMaxMatvecTokens] = {};
  DotRow(p, part.first, row, sums);
  if (p.gated) DotRow(p, part.second, row, up);
  if (p.paired) {
    AddRests(sums);
    AddRests(up);
  }
  const int tokens = p.paired ? p.tokens / 2 : p.tokens;
  for (int t = 0; t < kMaxMatvecTokens; ++t) {
    if (t >= tokens || Lane() != t) continue;
    StoreOutput(p, part, t, row, p.gated ? GeluTanh(sums[t]) * up[t] : Capped(p, sums[t]));
  }
}

}  // namespace

cudaError_t LaunchMatvecAnyShape(const MatvecParams& params, const MatvecLaunch& launch) {
  int64_t rows = 0;
  for (int i = 0; i < params.part_count; ++i) rows += params.parts[i].first.rows;
  const LaunchShape shape{dim3(static_cast<unsigned>((rows + kMatvecWarps - 1) / kMatvecWarps)),
                          kMatvecWarps * kWarp, 0, launch.overlap, launch.stream};
  return Launch(AnyShapeKernel, shape, params);
}

}  // namespace gemma::cuda
