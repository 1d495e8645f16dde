// out = in * transpose(weight) for any number of tokens, any shape and layout: blocks of 64 rows
// and 64 tokens, weights decoded to float16 in shared memory, mma.sync.
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/gemm/params.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {
namespace {

constexpr int kRows = 64;
constexpr int kTokens = 64;
constexpr int kColumns = 32;  // at once
constexpr int kThreads = 128;
constexpr int kPitch = kColumns + 8;  // elements; 8 rows lie in different banks

struct GemmShared {
  uint16_t first[kRows][kPitch];
  uint16_t second[kRows][kPitch];
  uint16_t in[kTokens][kPitch];
};

GEMMA_DEVICE void DecodeTile(const Matrix& m, int row, int column, uint16_t (*to)[kPitch]) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kColumns; i += kThreads) {
    const int r = i / kColumns, c = i % kColumns;
    const bool inside = row + r < m.rows && column + c < m.columns;
    const float value = inside ? LoadValue(m, row + r, column + c) : 0;
    to[r][c] = static_cast<uint16_t>(PackHalf(kWeightScale * value, 0));
  }
}

GEMMA_DEVICE void CopyTokens(const GemmParams& p, int token, int column, uint16_t (*to)[kPitch]) {
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kColumns; i += kThreads) {
    const int t = i / kColumns, c = i % kColumns;
    const bool inside = token + t < p.tokens && column + c < p.columns;
    to[t][c] =
        inside ? p.in[static_cast<int64_t>(token + t) * p.columns + column + c] : uint16_t{0};
  }
}

// A warp's 16 rows times all tokens of the block. sums: 8 tokens each
GEMMA_DEVICE void MultiplyTile(const uint16_t (*weights)[kPitch], const uint16_t (*in)[kPitch],
                               float (&sums)[kTokens / 8][4]) {
#pragma unroll
  for (int k = 0; k < kColumns; k += 16) {
    uint32_t a[4];
    LoadMatrix(a, &weights[WarpIndex() * 16 + Lane() % 16][k + Lane() / 16 * 8]);
#pragma unroll
    for (int n = 0; n < kTokens / 8; n += 2) {
      // Tokens 0-7 and 8-15 of a pair, columns 0-7 and 8-15 of each.
      uint32_t b[4];
      LoadMatrix(b, &in[n * 8 + Lane() / 16 * 8 + Lane() % 8][k + Lane() / 8 % 2 * 8]);
      MultiplyAccumulateHalf(sums[n], a, b[0], b[1]);
      MultiplyAccumulateHalf(sums[n + 1], a, b[2], b[3]);
    }
  }
}

// token: row of the results, in which rests have been added to the nearest numbers of pairs
GEMMA_DEVICE void StoreOne(const GemmParams& p, const GemmPart& part, int row, int token,
                           float value, float up) {
  constexpr float kUnit = kActivationUnit / kWeightScale;
  const int tokens = p.paired ? p.tokens / 2 : p.tokens;
  if (row >= part.first.rows || token >= tokens) return;
  value *= kUnit;
  if (p.gated) value = GeluTanh(value) * (up * kUnit);
  if (p.softcap > 0) value = p.softcap * tanhf(value / p.softcap);
  const int64_t pitch = part.first.rows, at = static_cast<int64_t>(token) * pitch + row;
  if (p.half_out) {
    uint16_t* const out = static_cast<uint16_t*>(part.out) + (p.paired ? at + token * pitch : at);
    value *= kActivationScale;
    out[0] = static_cast<uint16_t>(PackHalf(value, 0));
    if (p.paired) out[pitch] = static_cast<uint16_t>(PackHalf(kPairScale * HalfRest(value), 0));
  } else {
    static_cast<float*>(part.out)[at] = value;
  }
}

__global__ void __launch_bounds__(kThreads) GemmKernel(const __grid_constant__ GemmParams p) {
  GEMMA_SHARED_MEMORY(memory);
  GemmShared& shared = *reinterpret_cast<GemmShared*>(memory);
  const GemmPart& part = p.parts[blockIdx.z];
  const int row = static_cast<int>(blockIdx.x) * kRows,
            token = static_cast<int>(blockIdx.y) * kTokens;
  WaitForPreviousKernel();
  LetNextKernelStart();
  if (row >= part.first.rows) return;
  float sums[kTokens / 8][4] = {}, up[kTokens / 8][4] = {};
  for (int column = 0; column < p.columns; column += kColumns) {
    __syncthreads();
    DecodeTile(part.first, row, column, shared.first);
    if (p.gated) DecodeTile(part.second, row, column, shared.second);
    CopyTokens(p, token, column, shared.in);
    __syncthreads();
    MultiplyTile(shared.first, shared.in, sums);
    if (p.gated) MultiplyTile(shared.second, shared.in, up);
  }
  const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
  for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int to_row = row + WarpIndex() * 16 + g + i / 2 * 8,
                from_token = token + n * 8 + 2 * t + i % 2;
      if (!p.paired) {
        StoreOne(p, part, to_row, from_token, sums[n][i], up[n][i]);
      } else if (i % 2 == 0) {
        StoreOne(p, part, to_row, from_token / 2, sums[n][i] + kPairUnit * sums[n][i + 1],
                 up[n][i] + kPairUnit * up[n][i + 1]);
      }
    }
  }
}

}  // namespace

cudaError_t LaunchGemmAnyShape(const GemmParams& p, const GemmLaunch& launch) {
  int rows = 0;
  for (int i = 0; i < p.part_count; ++i) {
    if (rows < p.parts[i].first.rows) rows = p.parts[i].first.rows;
  }
  const dim3 grid(static_cast<unsigned>((rows + kRows - 1) / kRows),
                  static_cast<unsigned>((p.tokens + kTokens - 1) / kTokens),
                  static_cast<unsigned>(p.part_count));
  return Launch(GemmKernel, {grid, kThreads, sizeof(GemmShared), launch.overlap, launch.stream}, p);
}

}  // namespace gemma::cuda
