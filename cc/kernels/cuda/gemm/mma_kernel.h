// The product for many tokens on GPUs without wgmma (compute capability 8.0 and later), by mma.sync.
//
// A tile is 256 rows of weights and 128 (or 64) tokens, 128 rows where shared memory is small. A warp
// has 16 rows of two blocks of 64 (when gated, gate and up of the same outputs), and all tokens, or,
// of 128 rows, half of them. Weights come to shared memory as they are stored and become float16 in
// registers, the first operand; activations are the second. While a tile of 64 columns is
// multiplied, the next one is copied. Blocks share out tiles and columns as Hopper's do
// (schedule.h), so all blocks of a launch must be able to run at the same time.
#ifndef CC_KERNELS_CUDA_GEMM_MMA_KERNEL_H_
#define CC_KERNELS_CUDA_GEMM_MMA_KERNEL_H_

#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/gemm/results.h"
#include "cc/kernels/cuda/gemm/schedule.h"
#include "cc/kernels/cuda/gemm/weights.h"

namespace gemma::cuda {

template <WeightLayout kLayout, int kRows, int kTokens>
using MmaResults = GemmResults<kLayout, kRows, MmaWarpTokens(kRows, kTokens)>;

template <WeightLayout kLayout, int kRows, int kTokens>
class MmaBlock : public MmaResults<kLayout, kRows, kTokens> {
 public:
  static constexpr int kMyTokens = MmaWarpTokens(kRows, kTokens);
  using Results = MmaResults<kLayout, kRows, kTokens>;
  using Results::kSums;
  static constexpr GemmStage kStage = GemmStageOf(kLayout, kRows);
  static constexpr MmaShared kShared = MmaSharedOf(kLayout, kRows, kTokens);
  static constexpr int kTilesAUnit = kStage.columns / 64;
  static constexpr int kWarps = kSummingThreads / kWarp;

  GEMMA_DEVICE MmaBlock(const GemmTileParams& p, std::byte* shared)
      : Results(p),
        shared_(shared),
        first_token_(kMyTokens == kTokens ? 0 : Warpgroup() * kMyTokens),
        tokens_at_(TileOffset(first_token_ + Lane() / 16 * 8 + Lane() % 8, Lane() / 8 % 2)) {}

  GEMMA_DEVICE void Run() {
    GemmPieces pieces(p_.schedule);
    for (GemmPiece piece; pieces.Next(piece);) {
      const GemmPlace place = PlaceOf(p_.schedule, piece.tile);
      const TileRows rows = RowsOfTile<kRows>(p_, place.row_tile);
      const int token = place.token_tile * kTokens;
      MultiplyPiece(rows, token, piece);
      if (piece.begin > 0) {
        LeavePartial();
        continue;
      }
      if (piece.end < p_.schedule.units) AddPartials(pieces, piece);
      Store(rows, token + first_token_);
    }
  }

 private:
  using Results::AddPartials;
  using Results::LeavePartial;
  using Results::p_;
  using Results::RowOfLane;
  using Results::Store;
  using Results::sums_;
  using Results::Warpgroup;

  GEMMA_DEVICE static int Thread() { return static_cast<int>(threadIdx.x); }
  GEMMA_DEVICE std::byte* Weights(int unit) const { return shared_ + unit % 2 * kStage.bytes; }
  GEMMA_DEVICE std::byte* Tile(int tile) const {
    return shared_ + kShared.tiles + tile % 2 * kShared.tile_bytes;
  }
  GEMMA_DEVICE float2* Factors() const {
    return reinterpret_cast<float2*>(shared_ + kShared.factors);
  }

  // sums_ = the weights' columns of the piece times activations
  GEMMA_DEVICE void MultiplyPiece(const TileRows& rows, int token, const GemmPiece& piece) {
#pragma unroll
    for (int n = 0; n < kSums; ++n) sums_[0][n] = sums_[1][n] = 0;
    const int last = piece.end * kTilesAUnit;
    __syncthreads();  // all have left the piece before
    StartCopies(rows, token, piece.begin * kTilesAUnit);
    for (int unit = piece.begin; unit < piece.end; ++unit) {
      const ScalePlaces places = ScalePlaces::Of(rows.part->first, unit, kStage.columns);
#pragma unroll
      for (int i = 0; i < kTilesAUnit; ++i) {
        const int tile = unit * kTilesAUnit + i;
        WaitCopies<0>();
        __syncthreads();  // the tile has come for all, and all have left the one before
        if (tile + 1 < last) StartCopies(rows, token, tile + 1);
        if (i == 0) StartUnit(rows, unit, places);
        MultiplyTile(places, unit, i);
      }
    }
  }

  // A tile of activations, and the weights of a unit with its first tile.
  GEMMA_DEVICE void StartCopies(const TileRows& rows, int token, int tile) const {
    if (tile % kTilesAUnit == 0) {
      const int unit = tile / kTilesAUnit;
      if (IsWhole<kLayout, kRows>(rows)) {
        CopyWholeWeights(rows, unit, Weights(unit));
      } else {
        CopyWeights(rows, unit, Weights(unit));
      }
    }
    CopyTokens(token, tile * 64, Tile(tile));
    CommitCopies();
  }

  GEMMA_DEVICE static void CopyWeights(const TileRows& rows, int unit, std::byte* stage) {
    CopyValues<kLayout, kRows>(rows, unit, stage, WarpIndex(), kWarps);
    if (!IsFloat(kLayout) && Thread() < kRows)
      CopyScalesOfRow<kLayout, kRows>(rows, unit, stage, Thread());
  }

  // The same with few instructions: rows follow at constant distances.
  GEMMA_DEVICE static void CopyWholeWeights(const TileRows& rows, int unit, std::byte* stage) {
    constexpr int kRowsAtOnce = kSummingThreads / 8;
    const int row_bytes = rows.part->first.columns / 32 * ValueBytes(kLayout);
    const int row = Thread() / 8, piece = Thread() % 8 * 16;
    const int at = row * row_bytes + unit * kValuePiece + piece;
    std::byte* const to = stage + row * kValueRow + piece;
#pragma unroll
    for (int r = 0; r < kRows; r += kRowsAtOnce) {
      const std::byte* const from =
          rows.MatrixOf(r).values + static_cast<int64_t>(rows.RowOf(r)) * row_bytes;
      CopyAsync<16>(to + r * kValueRow, from + at);
    }
    if (!IsFloat(kLayout) && Thread() < kRows) CopyWholeScalesOf(rows, unit, Thread(), stage);
  }

  GEMMA_DEVICE static void CopyWholeScalesOf(const TileRows& rows, int unit, int r,
                                             std::byte* stage) {
    using Bytes = WholeBytes<kLayout>;
    const Matrix& m = rows.MatrixOf(r);
    if (m.float_scales) return;
    const int64_t at = int64_t{rows.RowOf(r)} * (m.columns / kStage.columns) + unit;
    const std::byte* others = nullptr;
    if constexpr (HasPackedScales(kLayout)) {
      others = m.blocks + at * Bytes::kOthers;
    } else if constexpr (HasMins(kLayout)) {
      others = m.mins + at * Bytes::kOthers;
    } else if constexpr (HasInt8Scales(kLayout)) {
      others = m.blocks + at / 2 * 4;
    }
    CopyWholeScales<kLayout, kRows>(
        {m.scales + at * Bytes::kScales, m.extra + at * Bytes::kExtra, others}, r, stage);
  }

  // What lies outside becomes zeros.
  GEMMA_DEVICE void CopyTokens(int token, int column, std::byte* to) const {
    constexpr int kRowsAtOnce = kSummingThreads / 8;
    const int chunk = Thread() % 8, row = Thread() / 8;
    const int left = column + chunk * 8 < p_.gemm.columns ? p_.gemm.tokens - token - row : 0;
    const uint16_t* from = p_.gemm.in;
    if (left > 0) from += int64_t{token + row} * p_.gemm.columns + column + chunk * 8;
    std::byte* const mine = to + TileOffset(row, chunk);
#pragma unroll
    for (int r = 0; r < kTokens; r += kRowsAtOnce) {
      const bool inside = r < left;
      CopyAsync<16>(mine + r * 128, inside ? from + int64_t{r} * p_.gemm.columns : p_.gemm.in,
                    inside ? 16 : 0);
    }
  }

  // Block scales as factors, by a thread for each row; the first 32 columns.
  GEMMA_DEVICE void StartUnit(const TileRows& rows, int unit, const ScalePlaces& places) {
    if constexpr (HasBlocks(kLayout)) {
      const int r = Thread();
      if (r < kRows) {
        const int64_t block = int64_t{rows.RowOf(r)} * (p_.gemm.columns / 256) + unit;
        DecodeFactors<kLayout, kRows>(Weights(unit), r, (block & 1) != 0,
                                      Factors() + r * (kFactorRow / 8));
      }
      __syncthreads();
    }
    Decode(places, unit, 0, a_[0]);
  }

  // Tile i of a unit, whose first 32 columns are decoded. While some are multiplied, the next are
  // decoded, of the next tile, too.
  GEMMA_DEVICE void MultiplyTile(const ScalePlaces& places, int unit, int i) {
    const std::byte* const tokens = Tile(unit * kTilesAUnit + i);
    Decode(places, unit, 2 * i + 1, a_[1]);
    MultiplyColumns(a_[0], tokens, 0);
    if (i + 1 < kTilesAUnit) Decode(places, unit, 2 * i + 2, a_[0]);
    MultiplyColumns(a_[1], tokens, 1);
  }

  // 32 columns of a unit as operands.
  GEMMA_DEVICE void Decode(const ScalePlaces& places, int unit, int step, uint32_t (&a)[2][8]) {
#pragma unroll
    for (int b = 0; b < 2; ++b) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        LoadRow<kLayout, kRows>(Weights(unit), Factors(), places, step, RowOfLane(b) + 8 * i, i,
                                raw_[b]);
      }
      DecodeFragments<kLayout>(raw_[b], places, step, a[b]);
    }
  }

  // 32 columns, `half` of the tile. a: as DecodeFragments leaves them; tokens: the tile
  GEMMA_DEVICE void MultiplyColumns(const uint32_t (&a)[2][8], const std::byte* tokens, int half) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const uint32_t first[4] = {a[0][4 * k], a[0][4 * k + 1], a[0][4 * k + 2], a[0][4 * k + 3]};
      const uint32_t second[4] = {a[1][4 * k], a[1][4 * k + 1], a[1][4 * k + 2], a[1][4 * k + 3]};
      const std::byte* const from = tokens + (tokens_at_ ^ (2 * half + k) * 32);
#pragma unroll
      for (int n = 0; n < kMyTokens / 8; n += 2) {
        uint32_t b[4];  // of 8 tokens, then of 8 more
        LoadMatrix(b, from + n * 8 * 128);
        MultiplyAccumulateHalf(Sums(0, n), first, b[0], b[1]);
        MultiplyAccumulateHalf(Sums(1, n), second, b[0], b[1]);
        MultiplyAccumulateHalf(Sums(0, n + 1), first, b[2], b[3]);
        MultiplyAccumulateHalf(Sums(1, n + 1), second, b[2], b[3]);
      }
    }
  }

  // Of tokens 8 n and on, and the rows of block b.
  GEMMA_DEVICE float (&Sums(int b, int n))[4] {
    return *reinterpret_cast<float (*)[4]>(&sums_[b][4 * n]);
  }

  std::byte* const shared_;
  const int first_token_;  // of the warp's
  // Where in a tile the lane finds a row for LoadMatrix, of the warp's first 16 tokens and of the
  // first 16 columns; those further on differ in other bits of the address.
  const int tokens_at_;
  RawWeights<kLayout> raw_[2];
  uint32_t a_[2][2][8];  // [half of a tile][block]
};

template <WeightLayout kLayout, int kRows, int kTokens>
__global__ void __launch_bounds__(kSummingThreads, 1)
    GemmMmaKernel(const __grid_constant__ GemmTileParams p) {
#if defined(GEMMA_CUDA_EMULATION) || !defined(__CUDA_ARCH_FEAT_SM90_ALL)
  GEMMA_SHARED_MEMORY(shared);
  WaitForPreviousKernel();
  MmaBlock<kLayout, kRows, kTokens>(p, shared).Run();
#endif
}

template <WeightLayout kLayout>
cudaError_t LaunchGemmMma(const GemmTileParams& p, const MmaTile& tile,
                          const LaunchOptions& launch) {
  const LaunchShape shape{dim3(static_cast<unsigned>(p.schedule.blocks)), kSummingThreads,
                          static_cast<size_t>(MmaSharedOf(kLayout, tile.rows, tile.tokens).bytes),
                          launch};
  const bool few = tile.tokens == kFewTokens;
  if (tile.rows == kGemmRows) {
    return few ? Launch(GemmMmaKernel<kLayout, kGemmRows, kFewTokens>, shape, p)
               : Launch(GemmMmaKernel<kLayout, kGemmRows, kGemmTokens>, shape, p);
  }
  return few ? Launch(GemmMmaKernel<kLayout, kFewRows, kFewTokens>, shape, p)
             : Launch(GemmMmaKernel<kLayout, kFewRows, kGemmTokens>, shape, p);
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_MMA_KERNEL_H_
