// The matrix-vector product for 1 to 8 tokens, bound by reading the weights once.
//
// The rows are cut into tiles of 16, a tile's columns into units of (usually) 256. Every block of a
// grid as wide as the GPU owns a contiguous range of units in tile-major order, its eight warps
// take them in turn, and each warp keeps a ring of units in shared memory filled by asynchronous
// copies. Weights depend on no kernel, so the rings fill before the block waits for the kernel that
// makes the input: memory never idles between two products.
//
// A warp multiplies on the tensor cores: 16 rows of weights times 8 columns, of which `tokens` are
// used. Sums are float32: per group inside of the tensor core, then times the group's scale. The
// last warp to finish a tile adds the warps' sums in a fixed order. A tile whose units two blocks
// share is finished by the first of them, which waits for the second one's part; the second did
// that tile first, long ago. So results never depend on timing.
#ifndef CC_KERNELS_CUDA_MATVEC_KERNEL_H_
#define CC_KERNELS_CUDA_MATVEC_KERNEL_H_

#include "cc/kernels/cuda/decode.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/cuda/matvec_epilogue.h"
#include "cc/kernels/cuda/matvec_input.h"
#include "cc/kernels/cuda/matvec_params.h"

namespace gemma::cuda {

GEMMA_DEVICE void WaitCopiesExcept(int pending) {
  switch (pending) {
    case 0:
      return WaitCopies<0>();
    case 1:
      return WaitCopies<1>();
    case 2:
      return WaitCopies<2>();
    case 3:
      return WaitCopies<3>();
    case 4:
      return WaitCopies<4>();
    case 5:
      return WaitCopies<5>();
    case 6:
      return WaitCopies<6>();
    default:
      return WaitCopies<7>();
  }
}

// Where a 16-byte chunk of a value row lies: permuted so that the lanes of a warp, reading the same
// columns of eight rows, find them in different banks.
template <Layout kLayout>
GEMMA_DEVICE int SwizzledChunk(int row, int chunk) {
  if constexpr (kLayout == Layout::kF32) return chunk ^ (row & 1) << 2;
  if constexpr (IsFloat(kLayout)) return chunk ^ (row & 3) << 1;
  return chunk ^ (row & 7);
}

struct TileRow {
  const Matrix* matrix;
  int64_t row;
};

// Row r (0 to 15) of a tile; beyond the matrix the last row stands in, whose result nobody stores.
GEMMA_DEVICE TileRow RowOfTile(const MatvecPart& part, int tile_in_part, int r) {
  const int row = tile_in_part * part.tile_step + (r < 8 ? r : r - 8 + part.second_row);
  const Matrix& m = r < 8 ? part.first : part.second;
  return {&m, row < m.rows ? row : m.rows - 1};
}

// Copies `words` 4-byte words a row of a plane with rows of `row_bytes`, from byte `start` of the
// row on; zeros past its end.
GEMMA_DEVICE void CopyRowWords(const MatvecPart& part, int tile, const std::byte* Matrix::* plane,
                               int row_bytes, int start, int words, int stage_row, std::byte* to) {
  for (int i = Lane(); i < kTileRows * words; i += kWarp) {
    const int r = i / words, word = i % words;
    const TileRow source = RowOfTile(part, tile, r);
    const int offset = start + word * 4;
    const bool inside = offset < row_bytes;
    CopyAsync<4>(to + r * stage_row + word * 4,
                 source.matrix->*plane + source.row * row_bytes + (inside ? offset : 0),
                 inside ? 4 : 0);
  }
}

// Float16 scales (or mins): one 16-byte copy a row where the addresses allow, else words.
GEMMA_DEVICE void CopyScales(const MatvecPart& part, int tile, const std::byte* Matrix::* plane,
                             int columns, int group, int column, std::byte* to) {
  const int row_bytes = columns / group * 2;
  if (group == 32 && row_bytes % 16 == 0) {
    if (Lane() < kTileRows) {
      const TileRow source = RowOfTile(part, tile, Lane());
      CopyAsync<16>(to + Lane() * 16, source.matrix->*plane + source.row * row_bytes + column / 16);
    }
    return;
  }
  CopyRowWords(part, tile, plane, row_bytes, column / group * 2, 128 / group, 16, to);
}

// A unit of a warp: every kMatvecWarps-th of the block's range is the same warp's.
struct UnitCursor {
  int unit;
  int tile;
  int in_tile;

  GEMMA_DEVICE UnitCursor(int first, int units_per_tile)
      : unit(first), tile(first / units_per_tile), in_tile(first - tile * units_per_tile) {}

  GEMMA_DEVICE void Advance(int units_per_tile) {
    unit += kMatvecWarps;
    in_tile += kMatvecWarps;
    while (in_tile >= units_per_tile) {
      in_tile -= units_per_tile;
      ++tile;
    }
  }
};

// Starts the copies of one unit into a stage of the warp's ring.
template <Layout kLayout>
GEMMA_DEVICE void CopyUnit(const MatvecParams& p, const UnitCursor& at, std::byte* stage) {
  constexpr StageLayout kStage = StageOf(kLayout);
  constexpr int kChunks = kStage.value_row / 16;  // of a row
  constexpr int kRowsAtOnce = kWarp / kChunks;
  constexpr int kChunkColumns = 512 / ValueBytes(kLayout);  // columns in 16 bytes
  const int column = p.first_column + at.in_tile * UnitColumns(kLayout);
  int tile_in_part;
  const MatvecPart& part = PartOf(p, at.tile, tile_in_part);
  const int64_t row_bytes = int64_t{p.columns} / 32 * ValueBytes(kLayout);
  const int chunk = Lane() % kChunks;
  const int chunk_column = column + chunk * kChunkColumns;
  const bool inside = chunk_column < p.columns;
  const int64_t offset = inside ? int64_t{chunk_column} / kChunkColumns * 16 : 0;
#pragma unroll
  for (int i = 0; i < kTileRows / kRowsAtOnce; ++i) {
    const int r = i * kRowsAtOnce + Lane() / kChunks;
    const TileRow source = RowOfTile(part, tile_in_part, r);
    CopyAsync<16>(stage + r * kStage.value_row + SwizzledChunk<kLayout>(r, chunk) * 16,
                  source.matrix->values + source.row * row_bytes + offset, inside ? 16 : 0);
  }
  if constexpr (HasBitPlane(kLayout)) {
    CopyRowWords(part, tile_in_part, &Matrix::extra, p.columns / 8, column / 8, 8, kStage.extra_row,
                 stage + kStage.extra);
  }
  if constexpr (kLayout == Layout::kQ6_K) {
    CopyRowWords(part, tile_in_part, &Matrix::extra, p.columns / 4, column / 4, 16,
                 kStage.extra_row, stage + kStage.extra);
    CopyRowWords(part, tile_in_part, &Matrix::scales, p.columns / 16, column / 16, 4, 16,
                 stage + kStage.scales);
    // The float16 d, with the other half of its aligned word.
    if (Lane() < kTileRows) {
      const TileRow source = RowOfTile(part, tile_in_part, Lane());
      const int64_t block = source.row * (p.columns / 256) + column / 256;
      CopyAsync<4>(stage + kStage.blocks + Lane() * 4, source.matrix->blocks + block / 2 * 4);
    }
  } else if constexpr (HasPackedScales(kLayout)) {
    const int block = column / 256;
    CopyRowWords(part, tile_in_part, &Matrix::scales, p.columns / 256 * 12, block * 12, 3, 16,
                 stage + kStage.scales);
    CopyRowWords(part, tile_in_part, &Matrix::blocks, p.columns / 256 * 4, block * 4, 1, 4,
                 stage + kStage.blocks);
  } else if constexpr (!IsFloat(kLayout)) {
    if (!part.first.float_scales) {
      const int group = part.first.group;
      CopyScales(part, tile_in_part, &Matrix::scales, p.columns, group, column,
                 stage + kStage.scales);
      if constexpr (HasMins(kLayout)) {
        CopyScales(part, tile_in_part, &Matrix::mins, p.columns, group, column,
                   stage + kStage.mins);
      }
    }
  }
}

GEMMA_DEVICE uint32_t LoadWord(const std::byte* from) {
  return *reinterpret_cast<const uint32_t*>(from);
}
GEMMA_DEVICE float LoadHalf(const std::byte* from) {
  return HalfBitsToFloat(*reinterpret_cast<const uint16_t*>(from));
}

// The integer fragments of block b (32 columns) of a stage.
template <Layout kLayout>
GEMMA_DEVICE void LoadFragments(const std::byte* stage, int b, Fragments& a) {
  constexpr StageLayout kStage = StageOf(kLayout);
  const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = g + 8 * r;
    const std::byte* values = stage + row * kStage.value_row;
    if constexpr (kLayout == Layout::kInt8) {
      SpreadInt8(LoadWord(values + SwizzledChunk<kLayout>(row, 2 * b) * 16 + t * 4),
                 LoadWord(values + SwizzledChunk<kLayout>(row, 2 * b + 1) * 16 + t * 4), r, a);
    } else {
      SpreadNibbles(LoadWord(values + SwizzledChunk<kLayout>(row, b) * 16 + t * 4), r, a);
    }
    const std::byte* extra = stage + kStage.extra + row * kStage.extra_row;
    if constexpr (HasBitPlane(kLayout)) SpreadBits(LoadWord(extra + b * 4), t, r, a);
    if constexpr (kLayout == Layout::kQ6_K)
      SpreadPairs(LoadWord(extra + b * 8 + t % 2 * 4), t, r, a);
  }
}

// What a unit's scales are read with.
struct BlockScales {
  int group_shift;  // log2 of the blocks of 32 columns that share a scale
  bool one_a_row;   // scales are applied when the row is complete
  float d[2];       // Q6_K: of rows g and g + 8
};

// weight = scale * (q - zero point) + min, for one row of a block of 32 columns.
struct Factors {
  float scale;
  float min;
};

template <Layout kLayout>
GEMMA_DEVICE Factors LoadFactors(const std::byte* stage, int row, int b,
                                 const BlockScales& scales) {
  constexpr StageLayout kStage = StageOf(kLayout);
  if constexpr (HasPackedScales(kLayout)) {
    const std::byte* packed = stage + kStage.scales + row * 16;
    const SixBitPair pair =
        UnpackSixBits(LoadWord(packed), LoadWord(packed + 4), LoadWord(packed + 8), b);
    const std::byte* d = stage + kStage.blocks + row * 4;
    return {LoadHalf(d) * static_cast<float>(pair.scale),
            -LoadHalf(d + 2) * static_cast<float>(pair.min)};
  } else {
    if (scales.one_a_row) return {1, 0};
    const int offset = row * 16 + (b >> scales.group_shift) * 2;
    Factors f{LoadHalf(stage + kStage.scales + offset), 0};
    if constexpr (HasMins(kLayout)) f.min = LoadHalf(stage + kStage.mins + offset);
    return f;
  }
}

// This lane's B fragments of block b of the input: token g, columns as in Fragments; zeros beyond
// the tokens.
template <int kTokens>
GEMMA_DEVICE uint4 LoadActivations(const InputView& in, int block) {
  const int g = Lane() / 4, t = Lane() % 4;
  if (kTokens < 8 && g >= kTokens) return make_uint4(0, 0, 0, 0);
  return *reinterpret_cast<const uint4*>(in.activations + g * in.activation_stride +
                                         (block * 4 + t) * 16);
}

// The sums of the input over the columns of sum block `block`, for tokens 2t and 2t + 1.
template <int kTokens>
GEMMA_DEVICE float2 LoadSums(const InputView& in, int block) {
  const int t = Lane() % 4;
  if constexpr (kTokens == 1) return make_float2(t == 0 ? in.sums[block] : 0.0f, 0.0f);
  if (kTokens < 8 && 2 * t >= kTokens) return make_float2(0, 0);
  return *reinterpret_cast<const float2*>(in.sums + block * kTokens + 2 * t);
}

// One block of 32 columns of unquantized weights: their bfloat16 parts go straight into the sums.
template <Layout kLayout>
GEMMA_DEVICE void AddFloatBlock(const std::byte* stage, int b, const uint4& x, float (&sums)[4]) {
  constexpr StageLayout kStage = StageOf(kLayout);
  constexpr int kBytes = ValueBytes(kLayout);
  const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float f[2][4];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = g + 8 * r;
      const int byte = b * kBytes + half * kBytes / 2 + t * kBytes / 8;
      FourFloats<kLayout>(
          stage + row * kStage.value_row + SwizzledChunk<kLayout>(row, byte / 16) * 16 + byte % 16,
          f[r]);
    }
#pragma unroll
    for (int part = 0; part < FragmentParts(kLayout); ++part) {
      uint32_t a[4];
      TakeBf16(f[0], a[0], a[2]);
      TakeBf16(f[1], a[1], a[3]);
      MultiplyAccumulate(sums, a, half == 0 ? x.x : x.z, half == 0 ? x.y : x.w);
    }
  }
}

// One block of 32 columns of quantized weights.
template <Layout kLayout, int kTokens>
GEMMA_DEVICE void AddBlock(const std::byte* stage, int b, int block, const InputView& in,
                           const BlockScales& scales, float (&sums)[4]) {
  const int g = Lane() / 4;
  const uint4 x = LoadActivations<kTokens>(in, block);
  Fragments a;
  LoadFragments<kLayout>(stage, b, a);
  if constexpr (kLayout == Layout::kQ6_K) {
    constexpr StageLayout kStage = StageOf(kLayout);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float2 s = LoadSums<kTokens>(in, 2 * block + half);
      float c[4] = {-Offset(kLayout) * s.x, -Offset(kLayout) * s.y, -Offset(kLayout) * s.x,
                    -Offset(kLayout) * s.y};
      MultiplyAccumulate(c, a[half], half == 0 ? x.x : x.z, half == 0 ? x.y : x.w);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = g + 8 * r;
        const int8_t small =
            *reinterpret_cast<const int8_t*>(stage + kStage.scales + row * 16 + 2 * b + half);
        const float scale = scales.d[r] * static_cast<float>(small);
        sums[2 * r] += scale * c[2 * r];
        if (kTokens > 1) sums[2 * r + 1] += scale * c[2 * r + 1];
      }
    }
  } else {
    float2 s = make_float2(0, 0);
    if constexpr (kLayout != Layout::kInt8) s = LoadSums<kTokens>(in, block);
    float c[4] = {-Offset(kLayout) * s.x, -Offset(kLayout) * s.y, -Offset(kLayout) * s.x,
                  -Offset(kLayout) * s.y};
    MultiplyAccumulate(c, a[0], x.x, x.y);
    MultiplyAccumulate(c, a[1], x.z, x.w);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const Factors f = LoadFactors<kLayout>(stage, g + 8 * r, b, scales);
      sums[2 * r] += f.scale * c[2 * r];
      if (kTokens > 1) sums[2 * r + 1] += f.scale * c[2 * r + 1];
      if constexpr (HasMins(kLayout) || HasPackedScales(kLayout)) {
        sums[2 * r] += f.min * s.x;
        if (kTokens > 1) sums[2 * r + 1] += f.min * s.y;
      }
    }
  }
}

template <Layout kLayout, int kTokens>
GEMMA_DEVICE void AddUnit(const MatvecParams& p, const UnitCursor& at, const std::byte* stage,
                          const InputView& in, float (&sums)[4]) {
  constexpr int kBlocks = UnitColumns(kLayout) / 32;
  const int first_block = at.in_tile * kBlocks;
  int tile_in_part;
  const MatvecPart& part = PartOf(p, at.tile, tile_in_part);
  BlockScales scales{};
  if constexpr (kLayout == Layout::kQ6_K) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int64_t row = RowOfTile(part, tile_in_part, Lane() / 4 + 8 * r).row;
      const int odd =
          static_cast<int>(row * (p.columns / 256) + p.first_column / 256 + at.in_tile) & 1;
      scales.d[r] = LoadHalf(stage + StageOf(kLayout).blocks + (Lane() / 4 + 8 * r) * 4 + odd * 2);
    }
  } else if constexpr (!IsFloat(kLayout) && kLayout < Layout::kQ4_K) {
    scales.one_a_row = part.first.float_scales;
    scales.group_shift = scales.one_a_row ? 0 : 31 - __clz(part.first.group / 32);
  }
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    if constexpr (IsFloat(kLayout)) {
      AddFloatBlock<kLayout>(stage, b, LoadActivations<kTokens>(in, first_block + b), sums);
    } else {
      AddBlock<kLayout, kTokens>(stage, b, first_block + b, in, scales, sums);
    }
  }
}

template <Layout kLayout, int kTokens>
__global__ void __launch_bounds__(kMatvecWarps* kWarp, 2)
    MatvecKernel(const __grid_constant__ MatvecParams p,
                 const __grid_constant__ MatvecShared shared_layout) {
  GEMMA_SHARED_MEMORY(shared);
  constexpr int kStageBytes = StageOf(kLayout).bytes;
  const UnitRange range = RangeOfBlock(p);
  const int warp = WarpIndex();
  std::byte* const ring = shared + warp * p.ring_stages * kStageBytes;

  UnitCursor copied(range.begin + warp, p.units_per_tile);
  for (int i = 0; i < p.ring_stages; ++i) {
    if (copied.unit < range.end) CopyUnit<kLayout>(p, copied, ring + i * kStageBytes);
    CommitCopies();
    copied.Advance(p.units_per_tile);
  }

  const MatvecInput<kLayout, kTokens> input(p, shared, shared_layout);
  input.Prepare();
  TileSums<kTokens> tiles(p, shared, shared_layout, range);
  tiles.Prepare();
  __syncthreads();

  const InputView view = input.View();
  float sums[4] = {0, 0, 0, 0};
  int stage = 0;
  for (UnitCursor at(range.begin + warp, p.units_per_tile); at.unit < range.end;
       at.Advance(p.units_per_tile)) {
    WaitCopiesExcept(p.ring_stages - 1);
    __syncwarp();
    tiles.AdvanceTo(at.tile, sums);
    AddUnit<kLayout, kTokens>(p, at, ring + stage * kStageBytes, view, sums);
    __syncwarp();
    if (copied.unit < range.end) CopyUnit<kLayout>(p, copied, ring + stage * kStageBytes);
    CommitCopies();
    copied.Advance(p.units_per_tile);
    stage = stage + 1 == p.ring_stages ? 0 : stage + 1;
  }
  tiles.AdvanceTo(tiles.end_tile(), sums);
}

template <Layout kLayout>
cudaError_t LaunchMatvec(const MatvecParams& params, const MatvecLaunch& launch) {
  const MatvecShared shared =
      MatvecSharedOf(kLayout, params.tokens, params.units_per_tile, params.ring_stages);
  const LaunchShape shape{dim3(static_cast<unsigned>(launch.blocks)), kMatvecWarps * kWarp,
                          static_cast<size_t>(shared.bytes), launch.overlap, launch.stream};
  switch (TokenSlots(params.tokens)) {
    case 1:
      return Launch(MatvecKernel<kLayout, 1>, shape, params, shared);
    case 2:
      return Launch(MatvecKernel<kLayout, 2>, shape, params, shared);
    case 4:
      return Launch(MatvecKernel<kLayout, 4>, shape, params, shared);
    default:
      return Launch(MatvecKernel<kLayout, 8>, shape, params, shared);
  }
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_MATVEC_KERNEL_H_
