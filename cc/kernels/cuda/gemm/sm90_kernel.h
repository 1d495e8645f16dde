// The product for many tokens on compute capability 9.0: persistent, warp-specialized, stream-K.
//
// A block has two warpgroups that multiply and one that fills the rings in shared memory. A tile is
// 256 rows of weights and 128 (or 64) tokens; each multiplying warpgroup takes half of its rows, as
// two blocks of 64, which when gated are gate and up of the same 64 outputs. Weights come to shared
// memory as they are stored and become float16 in registers, the first operand; activations are the
// second, by the copy engine (TMA). While the tensor cores multiply 32 columns, the warps decode
// the next 32.
#ifndef CC_KERNELS_CUDA_GEMM_SM90_KERNEL_H_
#define CC_KERNELS_CUDA_GEMM_SM90_KERNEL_H_

#include "cc/kernels/cuda/device/hopper.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/gemm/results.h"
#include "cc/kernels/cuda/gemm/schedule.h"
#include "cc/kernels/cuda/gemm/sm90_copies.h"
#include "cc/kernels/cuda/gemm/weights.h"

namespace gemma::cuda {

inline constexpr int kGemmConsumers = 2 * kWarpgroup;
inline constexpr int kGemmThreads = 3 * kWarpgroup;
inline constexpr int kGemmConsumerWarps = kGemmConsumers / kWarp;
// Of the third warpgroup: warps that copy values, one that copies scales, one that copies tiles.
inline constexpr int kGemmWeightWarps = kGemmValueWarps + 1;

// A position in a ring and the parity of its barriers' phase.
struct RingPlace {
  int stage = 0;
  int parity = 0;
  GEMMA_DEVICE void Advance(int count) {
    if (++stage == count) stage = 0, parity ^= 1;
  }
};

template <WeightLayout kLayout, int kTokens>
class GemmBlock : public GemmResults<kLayout, kGemmRows, kTokens> {
 public:
  using Results = GemmResults<kLayout, kGemmRows, kTokens>;
  static constexpr GemmStage kStage = GemmStageOf(kLayout);
  static constexpr GemmRings kShared = GemmRingsOf(kLayout, kTokens);
  static constexpr int kTilesAUnit = kStage.columns / 64;
  static constexpr int kSteps = kStage.columns / 32;
  using Results::kSums;

  GEMMA_DEVICE GemmBlock(const GemmTileParams& p, const TileMap& map, std::byte* shared)
      : Results(p), map_(map), shared_(shared) {}

  GEMMA_DEVICE void Run() {
    if (threadIdx.x == 0) {
      for (int i = 0; i < kStage.count; ++i) {
        InitBarrier(WeightsFull(i), kGemmWeightWarps * kWarp);
        InitBarrier(WeightsEmpty(i), kGemmConsumers);
      }
      for (int i = 0; i < kShared.tile_count; ++i) {
        InitBarrier(TileFull(i), 1);
        InitBarrier(TileEmpty(i), kGemmConsumerWarps);
      }
      FenceBarrierInit();
    }
    __syncthreads();
    if (threadIdx.x < kGemmConsumers) {
      TakeRegisters<232>();
      WaitForPreviousKernel();
      Multiply();
    } else {
      GiveRegisters<40>();
      if (WarpIndex() < kGemmConsumerWarps + kGemmWeightWarps) {
        FillWeights();
      } else {
        FillTiles();
      }
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

  GEMMA_DEVICE Barrier& BarrierAt(int i) const {
    return reinterpret_cast<Barrier*>(shared_ + kShared.barriers)[i];
  }
  GEMMA_DEVICE Barrier& WeightsFull(int i) const { return BarrierAt(i); }
  GEMMA_DEVICE Barrier& WeightsEmpty(int i) const { return BarrierAt(4 + i); }
  GEMMA_DEVICE Barrier& TileFull(int i) const { return BarrierAt(8 + i); }
  GEMMA_DEVICE Barrier& TileEmpty(int i) const { return BarrierAt(16 + i); }
  GEMMA_DEVICE std::byte* Weights(int i) const {
    return shared_ + kShared.weights + i * kStage.bytes;
  }
  GEMMA_DEVICE std::byte* Tile(int i) const { return shared_ + i * kShared.tile_bytes; }

  GEMMA_DEVICE void FillWeights() const {
    const int warp = WarpIndex() - kGemmConsumerWarps;
    const bool values = warp < kGemmValueWarps;
    RingPlace place;
    GemmPieces pieces(p_.schedule);
    for (GemmPiece piece; pieces.Next(piece);) {
      const TileRows rows = RowsOfTile<kGemmRows>(p_, PlaceOf(p_.schedule, piece.tile).row_tile);
      if (!IsWhole<kLayout, kGemmRows>(rows)) {
        FillUnits(piece, place, [&](int unit, std::byte* stage) {
          if (values) {
            CopyValues<kLayout, kGemmRows>(rows, unit, stage, warp, kGemmValueWarps);
          } else {
            CopyAllScales<kLayout, kGemmRows>(rows, unit, stage);
          }
        });
      } else if (values) {
        const WholeValues<kLayout> copier(rows, warp);
        FillUnits(piece, place, [&](int unit, std::byte* stage) { copier.Copy(unit, stage); });
      } else {
        const WholeScales<kLayout> copier(rows);
        FillUnits(piece, place, [&](int unit, std::byte* stage) { copier.Copy(unit, stage); });
      }
    }
  }

  template <typename CopyUnit>
  GEMMA_DEVICE void FillUnits(const GemmPiece& piece, RingPlace& place,
                              const CopyUnit& copy) const {
    for (int unit = piece.begin; unit < piece.end; ++unit) {
      WaitBarrier(WeightsEmpty(place.stage), place.parity ^ 1);
      copy(unit, Weights(place.stage));
      ArriveAfterCopies(WeightsFull(place.stage));
      place.Advance(kStage.count);
    }
  }

  GEMMA_DEVICE void FillTiles() const {
    if (Lane() != 0) return;
    WaitForPreviousKernel();
    RingPlace place;
    GemmPieces pieces(p_.schedule);
    for (GemmPiece piece; pieces.Next(piece);) {
      const int token = PlaceOf(p_.schedule, piece.tile).token_tile * kTokens;
      for (int i = piece.begin * kTilesAUnit; i < piece.end * kTilesAUnit; ++i) {
        WaitBarrier(TileEmpty(place.stage), place.parity ^ 1);
        Barrier& full = TileFull(place.stage);
        ArriveExpecting(full, kShared.tile_bytes);
        CopyTile(Tile(place.stage), map_, token, i * 64, full);
        place.Advance(kShared.tile_count);
      }
    }
  }

  // One arrival a warp: the warps of a warpgroup run on their own.
  GEMMA_DEVICE static void Release(Barrier& barrier) {
    __syncwarp();
    if (Lane() == 0) Arrive(barrier);
  }

  GEMMA_DEVICE void Multiply() {
    GemmPieces pieces(p_.schedule);
    for (GemmPiece piece; pieces.Next(piece);) {
      const GemmPlace place = PlaceOf(p_.schedule, piece.tile);
      const TileRows rows = RowsOfTile<kGemmRows>(p_, place.row_tile);
      for (int unit = piece.begin; unit < piece.end; ++unit)
        MultiplyUnit(rows, unit, unit == piece.begin);
      WaitProducts<0>();
      KeepRegisters(a_[1][0]);
      KeepRegisters(a_[1][1]);
      Release(TileEmpty(LastTile()));
      if (piece.begin > 0) {
        LeavePartial();
        continue;
      }
      if (piece.end < p_.schedule.units) AddPartials(pieces, piece);
      Store(rows, place.token_tile * kTokens);
    }
  }

  GEMMA_DEVICE int LastTile() const {
    return tile_.stage == 0 ? kShared.tile_count - 1 : tile_.stage - 1;
  }

  GEMMA_DEVICE float2* Factors() const {
    return reinterpret_cast<float2*>(shared_ + kShared.factors);
  }

  // Each warp for its own rows: 16 of each block.
  GEMMA_DEVICE void MakeFactors(const TileRows& rows, int unit, const std::byte* stage) const {
    if constexpr (HasBlocks(kLayout)) {
      __syncwarp();
      const int r = Warpgroup() * 128 + Lane() / 16 * 64 + WarpIndex() % 4 * 16 + Lane() % 16;
      const int64_t block = int64_t{rows.RowOf(r)} * (p_.gemm.columns / 256) + unit;
      DecodeFactors<kLayout, kGemmRows>(stage, r, (block & 1) != 0,
                                        Factors() + r * (kFactorRow / 8));
      __syncwarp();
    }
  }

  GEMMA_DEVICE void LoadStep(const ScalePlaces& places, const std::byte* stage, int step) {
#pragma unroll
    for (int b = 0; b < 2; ++b) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        LoadRow<kLayout, kGemmRows>(stage, Factors(), places, step, RowOfLane(b) + 8 * i, i,
                                    raw_[b]);
    }
  }

  GEMMA_DEVICE void MultiplyUnit(const TileRows& rows, int unit, bool first) {
    WaitBarrier(WeightsFull(weights_.stage), weights_.parity);
    const std::byte* const stage = Weights(weights_.stage);
    const ScalePlaces places = ScalePlaces::Of(rows.part->first, unit, kStage.columns);
    MakeFactors(rows, unit, stage);
    LoadStep(places, stage, 0);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int buffer = step % 2;
      DecodeFragments<kLayout>(raw_[0], places, step, a_[buffer][0]);
      DecodeFragments<kLayout>(raw_[1], places, step, a_[buffer][1]);
      if (step + 1 < kSteps) {
        LoadStep(places, stage, step + 1);
      } else {
        Arrive(WeightsEmpty(weights_.stage));
        weights_.Advance(kStage.count);
      }
      if (buffer == 0) WaitBarrier(TileFull(tile_.stage), tile_.parity);
      StartProducts(buffer, !first || step > 0);
      // The products of the step before have ended: its registers and its tile are free.
      WaitProducts<1>();
      KeepRegisters(a_[buffer ^ 1][0]);
      KeepRegisters(a_[buffer ^ 1][1]);
      if (buffer == 0 && (!first || step > 0)) Release(TileEmpty(LastTile()));
      if (buffer == 1) tile_.Advance(kShared.tile_count);
    }
  }

  // The 32 columns of a buffer times half of a tile of activations.
  GEMMA_DEVICE void StartProducts(int buffer, bool accumulate) {
    const std::byte* const tile = Tile(tile_.stage);
    FenceProducts();
#pragma unroll
    for (int b = 0; b < 2; ++b) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const uint32_t (&a)[8] = a_[buffer][b];
        const uint32_t half[4] = {a[4 * k], a[4 * k + 1], a[4 * k + 2], a[4 * k + 3]};
        TileProduct<kTokens>(sums_[b], half, TileDescriptor(tile, 2 * buffer + k),
                             accumulate || k > 0 ? 1 : 0);
      }
    }
    CommitProducts();
  }

  const TileMap& map_;
  std::byte* const shared_;
  RingPlace weights_, tile_;
  RawWeights<kLayout> raw_[2];
  uint32_t a_[2][2][8];  // [buffer][block]
};

template <WeightLayout kLayout, int kTokens>
__global__ void __launch_bounds__(kGemmThreads, 1)
    GemmSm90Kernel(const __grid_constant__ GemmTileParams p, const __grid_constant__ TileMap map) {
#if defined(GEMMA_CUDA_EMULATION) || defined(GEMMA_HOPPER)
  GEMMA_SHARED_MEMORY(shared);
  GemmBlock<kLayout, kTokens>(p, map, shared).Run();
#endif
}

template <WeightLayout kLayout>
cudaError_t LaunchGemmSm90(const GemmTileParams& p, const TileMap& map, int tile_tokens,
                           const LaunchOptions& launch) {
  const LaunchShape shape{dim3(static_cast<unsigned>(p.schedule.blocks)), kGemmThreads,
                          static_cast<size_t>(GemmRingsOf(kLayout, tile_tokens).bytes), launch};
  if (tile_tokens == kFewTokens) return Launch(GemmSm90Kernel<kLayout, kFewTokens>, shape, p, map);
  return Launch(GemmSm90Kernel<kLayout, kGemmTokens>, shape, p, map);
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_SM90_KERNEL_H_
