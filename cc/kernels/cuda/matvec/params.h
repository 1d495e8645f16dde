// What a matvec launch passes to its kernel (kernel.h),
// and the launchers, one for each layout.
#ifndef CC_KERNELS_CUDA_MATVEC_PARAMS_H_
#define CC_KERNELS_CUDA_MATVEC_PARAMS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cc/kernels/cuda/device/fused_norm.h"
#include "cc/kernels/cuda/device/launch_options.h"
#include "cc/kernels/cuda/device/matrix.h"
#include "cc/kernels/cuda/device/number.h"
#include "cc/kernels/cuda/device/prefetch.h"
#include "cc/kernels/limits.h"

namespace gemma::cuda {

inline constexpr int kMaxMatvecParts = 4;
// A tile has 32 rows, in two halves of 16, which a warp multiplies one after the other: a half is
// what the tensor cores take.
inline constexpr int kTileRows = 32;
inline constexpr int kHalfRows = 16;

// Rows of one output. Rows 0-15 of a tile come from `first`, 16-31 from `second`; half h of the
// tile is rows 8h to 8h + 7 of both. In a plain product both are the same matrix and second_row is
// 16; in a gated one they are gate and up, second_row is 0 and a tile makes 16 outputs.
struct MatvecPart {
  Matrix first;
  Matrix second;
  int32_t second_row = 0;
  int32_t tile_step = 0;  // rows of `first` from one tile to the next: 16, or 8 when gated
  int32_t tile_end = 0;   // tiles of this part and of those before it
  void* out = nullptr;    // [tokens, rows]
};

struct MatvecParams {
  MatvecPart parts[kMaxMatvecParts];
  int32_t part_count = 0;
  int32_t columns = 0;  // of the matrices
  // Where the launch's units begin: a multiple of 256; not 0 when inputs are cut to fit.
  int32_t first_column = 0;
  int32_t units_per_tile = 0;
  int32_t total_units = 0;
  int32_t tokens = 0;  // rows of the input: two a token of pairs
  Number in_number = Number::kFloat16;
  Number out_number = Number::kFloat32;  // or in_number
  int32_t group = 0;          // columns that share a scale, of all parts; 0: see float_scales
  bool float_scales = false;  // one float32 scale (and min) a row, applied when the row is complete
  // Whole tiles of whole units, and every row of a plane is aligned to 16 bytes (WholeCopier).
  bool full_rows = false;
  bool whole_tiles = false;      // a block never shares a tile with its neighbour
  bool gated = false;            // out = gelu(first) * second
  bool accumulate = false;       // out += (float32 only)
  int32_t blocks = 0;            // of the grid; not of the fallback's
  float softcap = 0;             // out = softcap * tanh(out / softcap); 0: off
  const uint16_t* in = nullptr;  // float16 (activation.h) [tokens, in_stride]
  int64_t in_stride = 0;
  int64_t out_stride = 0;  // 0: the part's rows
  FusedNorm norm;
  float* boundary_sums = nullptr;      // [blocks][kTileRows * kMaxDecodeTokens]
  uint32_t* boundary_flags = nullptr;  // [blocks], all 0 between launches
};

// How a product of 4-bit weights is streamed (stream.cu).
struct MatvecStream {
  int32_t slots = 1;   // tokens that the kernel has room for: 1, 2, 4 or 8
  int32_t slices = 1;  // of the columns, each for some of the blocks; one for one or two slots
  int32_t slice_columns = 0;
  int32_t pieces = 0;         // that a row of a slice is cut into
  int32_t piece_columns = 0;  // a multiple of 256, at most kMaxPieceColumns
  int32_t tiles = 0;
  int32_t stages = 0;  // of the ring
  // [slices], 0 between launches; not those of the launch before or after
  uint32_t* claims = nullptr;
  float* slice_sums = nullptr;         // [tiles][slices][StreamOutputs]
  uint32_t* slice_counters = nullptr;  // [tiles], 0 between launches
  Prefetch prefetch;                   // when nothing is left to claim
};

inline constexpr int kStreamTileRows = 16;
inline constexpr int kStreamWarps = 14;  // that multiply
inline constexpr int kWarpSets = 3;      // of 128 columns of a chunk, for each of them
inline constexpr int kMaxPieceColumns = kStreamWarps * kWarpSets * 128;
inline constexpr int kMaxStreamStages = 4;
inline constexpr int kStreamClaims = 4;  // sets of counters, used in turn
inline constexpr int kMaxStreamSlices = 8;
inline constexpr int kMaxSlicedTiles = 512;

// Outputs of a tile.
constexpr int StreamOutputs(int slots) { return kStreamTileRows * (slots <= 2 ? 2 : slots); }

// Columns of a unit, the piece of a tile that a warp copies (a half at a time) and multiplies.
constexpr int UnitColumns(WeightLayout l) {
  return l == WeightLayout::kF32 ? 64 : IsFloat(l) ? 128 : 256;
}

// How a warp multiplies quantized weights (multiply.h). For one or two tokens, a lane takes
// a group of 32 columns, and the columns of the tensor core's result are groups; for more, all
// lanes take the same group, and the columns are tokens.
constexpr bool LanesTakeGroups(WeightLayout l, int slots) { return !IsFloat(l) && slots <= 2; }

// Shared memory that half of a unit takes in a warp's ring (copy.h): 16 rows of values, then
// of what else belongs to them.
struct StageLayout {
  int value_bytes = 0;  // of a row
  int row = 0;          // bytes from one row to the next
  int scales = 0;       // [16][16 bytes]; kPacked: 12 packed bytes, d, dmin
  int mins = 0;         // [16][16 bytes]
  int extra = 0;        // [16][extra_row bytes]
  int extra_row = 0;
  int blocks = 0;  // [16][4 bytes]
  int bytes = 0;
};

constexpr StageLayout StageOf(WeightLayout l) {
  StageLayout s;
  s.value_bytes = UnitColumns(l) / 32 * ValueBytes(l);
  // Rows of unquantized weights are padded, those of others permuted (SwizzledChunk), so that reads
  // meet different banks.
  s.row = s.value_bytes + (l == WeightLayout::kF32 ? 64 : IsFloat(l) ? 32 : 0);
  s.scales = kHalfRows * s.row;
  s.mins = s.scales + (IsFloat(l) ? 0 : kHalfRows * 16);
  s.extra = s.mins + (HasMins(l) ? kHalfRows * 16 : 0);
  s.extra_row = HasBitPlane(l) ? 48 : HasPairPlane(l) ? 80 : 0;
  s.blocks = s.extra + kHalfRows * s.extra_row;
  s.bytes = s.blocks + (HasInt8Scales(l) ? kHalfRows * 4 : 0);
  return s;
}

// Half units in a warp's ring: an even number, so that stages begin with first halves.
constexpr int RingStages(WeightLayout l, int slots) {
  return StageOf(l).bytes <= 2560 && slots <= 4 ? 4 : 2;
}

// Offsets in a block's shared memory, after the ring.
// Warps that multiply, and one more that adds up their sums:
// 16 warps may have 128 registers a thread.
inline constexpr int kMatvecWarps = 15;
inline constexpr int kMatvecThreads = (kMatvecWarps + 1) * 32;
inline constexpr int kSliceColumns = 256;  // a launch's first column is a multiple
// A fused norm keeps the input in registers: pieces of 8 columns.
inline constexpr int kNormPiecesAThread = 2;
inline constexpr int kMaxFusedNormColumns = kNormPiecesAThread * (kMatvecThreads - 32) * 8;

struct MatvecShared {
  int64_t ring = 0;
  int64_t activations = 0;
  int64_t activation_stride = 0;  // bytes from one token to the next
  int64_t sums = 0;
  int64_t partials = 0;
  int64_t barriers = 0;
  int64_t scratch = 0;
  int64_t bytes = 0;
};
constexpr int PartialSlots(int tokens) { return tokens <= 2 ? 4 : 2; }
// Tokens that a kernel has room for.
constexpr int TokenSlots(const MatvecParams& p) {
  return p.tokens <= 2 ? p.tokens : kMaxDecodeTokens;
}
constexpr int SumColumns(WeightLayout l) { return HasHalfScales(l) ? 16 : 32; }

// What sums start from: a float4 as the four registers of a lane hold it. Where lanes take groups:
// [4 groups][half, where HasHalfScales][token, pair of groups]; else [group or half][pair of tokens].
constexpr int StartsPerGroup(int slots) { return slots <= 2 ? 1 : slots / 2; }

constexpr MatvecShared MatvecSharedOf(WeightLayout layout, int slots, int units_per_tile) {
  const int64_t columns = int64_t{units_per_tile} * UnitColumns(layout);
  MatvecShared s;
  s.activations = int64_t{kMatvecWarps} * RingStages(layout, slots) * StageOf(layout).bytes;
  s.activation_stride = columns * 2 + 64;  // the 64 puts neighbouring tokens into different banks
  s.sums = s.activations + slots * s.activation_stride;
  s.partials =
      s.sums + (IsFloat(layout) ? 0 : columns / SumColumns(layout) * StartsPerGroup(slots) * 16);
  s.barriers = s.partials + int64_t{PartialSlots(slots)} * kMatvecWarps * kTileRows * slots * 4;
  s.scratch = s.barriers + PartialSlots(slots) * 2 * 8;
  s.bytes = s.scratch + (kMatvecWarps + 1) * 4;
  return s;
}

// kInt4 and kInt4Min, with bulk copies.
cudaError_t LaunchMatvecStream(const MatvecParams&, const MatvecStream&, const LaunchOptions&);

// In int4.cu and so on, one source for each few layouts.
template <WeightLayout kLayout>
cudaError_t LaunchMatvec(const MatvecParams&, const LaunchOptions&);

// The fallback, any shape of any layout: a warp for every output row, value by value.
cudaError_t LaunchMatvecAnyShape(const MatvecParams&, const LaunchOptions&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_PARAMS_H_
