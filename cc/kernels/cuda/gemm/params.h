// What the matrix products for many tokens are passed, and their launchers.
#ifndef CC_KERNELS_CUDA_GEMM_PARAMS_H_
#define CC_KERNELS_CUDA_GEMM_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cc/kernels/cuda/device/launch_options.h"
#include "cc/kernels/cuda/device/matrix.h"
#include "cc/kernels/cuda/device/number.h"
#include "cc/kernels/cuda/device/tile_map.h"

namespace gemma::cuda {

inline constexpr int kMaxGemmParts = 4;
// Weights are multiplied as the float16 of kWeightScale times their value, so that small ones stay
// normal numbers; a power of two, and therefore exact.
inline constexpr float kWeightScale = 256;

struct GemmPart {
  Matrix first;         // [rows, columns]
  Matrix second;        // gated: up, of the same shape
  void* out = nullptr;  // [tokens, rows]
};

struct GemmParams {
  GemmPart parts[kMaxGemmParts];
  int32_t part_count = 0;
  int32_t columns = 0;
  int32_t tokens = 0;  // rows of the input: two a token of pairs
  Number in_number = Number::kFloat16;
  Number out_number = Number::kFloat32;  // or in_number
  bool gated = false;                    // out = gelu(first) * second
  float softcap = 0;                     // out = softcap * tanh(out / softcap) where > 0
  const uint16_t* in = nullptr;          // float16 with kActivationScale, [tokens, columns]
};

// The fallback: any shape and layout on any GPU,
// by mma.sync, for what the Hopper kernel does not take.
cudaError_t LaunchGemmAnyShape(const GemmParams&, const LaunchOptions&);

// ---- kernels that decode weights in registers: Hopper's (sm90_kernel.h), Ampere's (mma_kernel.h) ----

inline constexpr int kGemmRows = 256;    // rows of a tile; when gated, of gate and up together
inline constexpr int kFewRows = 128;     // the same of Ampere's where shared memory is small
inline constexpr int kGemmTokens = 128;  // tokens of a tile, or kFewTokens when there are no more
inline constexpr int kFewTokens = 64;
inline constexpr int kGemmValueWarps = 2;  // that copy values
inline constexpr int kGemmBand = 16;       // token tiles that one pass over the rows serves

// Which tiles and columns a block multiplies. The first `whole_tiles` go round the blocks; the
// rest, less than one a block, are cut into `splits` equal runs of units, one a block, so that all
// end at the same time. The block with a tile's first columns adds what the others leave in
// `partials`.
struct GemmSchedule {
  int32_t row_tiles = 0;  // of all parts
  int32_t token_tiles = 0;
  int32_t units = 0;  // of a tile: pieces of GemmStage::columns columns
  int32_t whole_tiles = 0;
  int32_t splits = 0;
  int32_t blocks = 0;
};

struct GemmTileParams {
  GemmParams gemm;
  int32_t tile_end[kMaxGemmParts] = {};  // row tiles of a part and of those before it
  GemmSchedule schedule;
  float* partials = nullptr;  // [blocks][rows * tokens of a tile]
  uint32_t* flags = nullptr;  // [blocks][2], 0 between launches
};

// Shared memory of a block: rings of weights as they are stored, and of tiles of activations.
struct GemmStage {
  int columns = 0;  // of a unit
  int scales = 0;   // [rows][16 bytes]; kPacked: 12 packed bytes, d, dmin
  int mins = 0;     // as scales
  int extra = 0;    // [rows][extra_row]
  int extra_row = 0;
  int blocks = 0;  // [rows][4 bytes]
  int bytes = 0;
  int count = 0;  // stages in Hopper's ring
};

// Values come in pieces of 128 bytes;
// padding puts the same piece of eight rows into different banks.
inline constexpr int kValuePiece = 128;
inline constexpr int kValueRow = kValuePiece + 16;

constexpr GemmStage GemmStageOf(WeightLayout l, int rows = kGemmRows) {
  GemmStage s;
  s.columns = HasNibbles(l) ? 256 : l == WeightLayout::kInt8 ? 128 : 64;
  s.scales = rows * kValueRow;
  s.mins = s.scales + (IsFloat(l) ? 0 : rows * 16);
  s.extra = s.mins + (HasMins(l) ? rows * 16 : 0);
  s.extra_row = HasBitPlane(l) ? 48 : HasPairPlane(l) ? 80 : 0;
  s.blocks = s.extra + rows * s.extra_row;
  s.bytes = s.blocks + (HasInt8Scales(l) ? rows * 4 : 0);
  s.count = s.columns == 256 ? 2 : s.columns == 128 ? 3 : 4;
  return s;
}

// Rows of factors as float32 pairs, which a warp makes of block scales: 8 pairs and padding.
inline constexpr int kFactorRow = 72;

struct GemmRings {
  int tiles = 0;  // of activations
  int tile_bytes = 0;
  int tile_count = 0;
  int weights = 0;
  int factors = 0;
  int barriers = 0;
  int bytes = 0;
};

inline constexpr int kGemmSharedBytes = 227 << 10;

constexpr GemmRings GemmRingsOf(WeightLayout l, int tokens) {
  const GemmStage stage = GemmStageOf(l);
  const int available = kGemmSharedBytes, barriers = 256;
  GemmRings s;
  s.tile_bytes = tokens * 128;
  const int factor_bytes = HasBlocks(l) ? kGemmRows * kFactorRow : 0;
  const int rest = available - barriers - factor_bytes - stage.count * stage.bytes;
  s.tile_count = rest / s.tile_bytes < 8 ? rest / s.tile_bytes : 8;
  s.weights = s.tile_count * s.tile_bytes;
  s.factors = s.weights + stage.count * stage.bytes;
  s.barriers = s.factors + factor_bytes;
  s.bytes = s.barriers + barriers;
  return s;
}

// Ampere's: two stages of weights, two tiles of 64 columns of activations, factors.
struct MmaShared {
  int tiles = 0;
  int tile_bytes = 0;
  int factors = 0;
  int bytes = 0;
};

// A tile of Ampere's.
struct MmaTile {
  int rows;
  int tokens;
};
// The tokens of a tile that a warp multiplies: of eight warps' rows all, of four warps' half.
constexpr int MmaWarpTokens(int rows, int tokens) {
  return rows == kGemmRows ? tokens : tokens / 2;
}

constexpr MmaShared MmaSharedOf(WeightLayout l, int rows, int tokens) {
  MmaShared s;
  s.tiles = 2 * GemmStageOf(l, rows).bytes;
  s.tile_bytes = tokens * 128;
  s.factors = s.tiles + 2 * s.tile_bytes;
  s.bytes = s.factors + (HasBlocks(l) ? rows * kFactorRow : 0);
  return s;
}

// Weights are multiplied as float16, which float32 does not fit.
constexpr bool HasTileKernels(WeightLayout l) { return l != WeightLayout::kF32; }

// Layouts that HasTileKernels, one source for each few of them.
template <WeightLayout kLayout>
cudaError_t LaunchGemmSm90(const GemmTileParams&, const TileMap&, int tile_tokens,
                           const LaunchOptions&);
template <WeightLayout kLayout>
cudaError_t LaunchGemmMma(const GemmTileParams&, const MmaTile&, const LaunchOptions&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_PARAMS_H_
