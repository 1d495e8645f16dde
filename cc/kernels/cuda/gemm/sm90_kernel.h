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

#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/gemm/sm90_results.h"
#include "cc/kernels/cuda/gemm/sm90_weights.h"

namespace gemma::cuda {

inline constexpr int kGemmConsumers = 2 * kWarpgroup;
inline constexpr int kGemmThreads = 3 * kWarpgroup;
inline constexpr int kGemmConsumerWarps = kGemmConsumers / kWarp;
// Of the third warpgroup: warps that copy values, one that copies scales, one that copies tiles.
inline constexpr int kGemmWeightWarps = kGemmValueWarps + 1;

// Units [begin, end) of a tile.
struct GemmPiece {
  int tile;
  int begin;
  int end;
};

// What a block multiplies, one piece after the other.
class GemmPieces {
 public:
  GEMMA_DEVICE explicit GemmPieces(const GemmSchedule& s)
      : s_(s), block_(static_cast<int>(blockIdx.x)), tile_(block_) {
    if (block_ >= s.splits) return;
    const int rest = s.row_tiles * s.token_tiles - s.whole_tiles;
    const int64_t units = static_cast<int64_t>(rest) * s.units;
    next_ = units * block_ / s.splits;
    last_ = units * (block_ + 1) / s.splits;
  }

  GEMMA_DEVICE bool Next(GemmPiece& piece) {
    if (tile_ < s_.whole_tiles) {
      piece = {tile_, 0, s_.units};
      tile_ += s_.blocks;
      return true;
    }
    if (next_ >= last_) return false;
    const int begin = static_cast<int>(next_ % s_.units);
    const int64_t left = last_ - next_;
    const int count = left < s_.units - begin ? static_cast<int>(left) : s_.units - begin;
    piece = {s_.whole_tiles + static_cast<int>(next_ / s_.units), begin, begin + count};
    next_ += count;
    return true;
  }

  // The block whose run holds a unit of the tiles that are cut.
  GEMMA_DEVICE int64_t EndOfRun(int block) const {
    const int rest = s_.row_tiles * s_.token_tiles - s_.whole_tiles;
    return static_cast<int64_t>(rest) * s_.units * (block + 1) / s_.splits;
  }

 private:
  const GemmSchedule& s_;
  const int block_;
  int tile_;
  int64_t next_ = 0;
  int64_t last_ = 0;
};

// Where a tile lies. Bands of token tiles one after the other, in each all rows, in those the
// tokens: blocks that run at the same time share weights and activations in the L2 cache.
struct GemmPlace {
  int row_tile;
  int token_tile;
};
GEMMA_DEVICE GemmPlace PlaceOf(const GemmSchedule& s, int tile) {
  const int band = tile / (kGemmBand * s.row_tiles);
  const int left = s.token_tiles - band * kGemmBand;
  const int width = left < kGemmBand ? left : kGemmBand;
  const int in_band = tile - band * kGemmBand * s.row_tiles;
  return {in_band / width, band * kGemmBand + in_band % width};
}

GEMMA_DEVICE TileRows RowsOfTile(const GemmSm90Params& p, int row_tile) {
  int part = 0;
  while (row_tile >= p.tile_end[part]) ++part;
  const int before = part == 0 ? 0 : p.tile_end[part - 1];
  const int rows = p.gemm.gated ? kGemmRows / 2 : kGemmRows;
  return {&p.gemm.parts[part], p.gemm.gated, (row_tile - before) * rows};
}

// A position in a ring and the parity of its barriers' phase.
struct RingPlace {
  int stage = 0;
  int parity = 0;
  GEMMA_DEVICE void Advance(int count) {
    if (++stage == count) stage = 0, parity ^= 1;
  }
};

template <WeightLayout kLayout, int kTokens>
class GemmBlock : public GemmResults<kLayout, kTokens> {
 public:
  using Results = GemmResults<kLayout, kTokens>;
  static constexpr GemmStage kStage = GemmStageOf(kLayout);
  static constexpr GemmRings kShared = GemmRingsOf(kLayout, kTokens);
  static constexpr int kTilesAUnit = kStage.columns / 64;
  static constexpr int kSteps = kStage.columns / 32;
  using Results::kSums;

  GEMMA_DEVICE GemmBlock(const GemmSm90Params& p, const TileMap& map, std::byte* shared)
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
      const TileRows rows = RowsOfTile(p_, PlaceOf(p_.schedule, piece.tile).row_tile);
      if (!IsWhole<kLayout>(rows)) {
        FillUnits(piece, place, [&](int unit, std::byte* stage) {
          if (values) {
            CopyValues<kLayout>(rows, unit, stage, warp, kGemmValueWarps);
          } else {
            CopyAllScales<kLayout>(rows, unit, stage);
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
      const TileRows rows = RowsOfTile(p_, place.row_tile);
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
      DecodeFactors<kLayout>(stage, r, (block & 1) != 0, Factors() + r * (kFactorRow / 8));
      __syncwarp();
    }
  }

  GEMMA_DEVICE void LoadStep(const ScalePlaces& places, const std::byte* stage, int step) {
#pragma unroll
    for (int b = 0; b < 2; ++b) {
#pragma unroll
      for (int i = 0; i < 2; ++i)
        LoadRow<kLayout>(stage, Factors(), places, step, RowOfLane(b) + 8 * i, i, raw_[b]);
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

  // ---- tiles that several blocks share ----

  GEMMA_DEVICE float4* Partial(int block) const {
    return reinterpret_cast<float4*>(p_.partials) +
           static_cast<int64_t>(block) * (kGemmRows * kTokens / 4) + threadIdx.x;
  }
  GEMMA_DEVICE uint32_t* Flag(int block) const { return p_.flags + 2 * block + Warpgroup(); }

  GEMMA_DEVICE void LeavePartial() const {
    const int block = static_cast<int>(blockIdx.x);
    float4* const to = Partial(block);
#pragma unroll
    for (int b = 0; b < 2; ++b) {
#pragma unroll
      for (int i = 0; i < kSums; i += 4) {
        to[(b * kSums + i) / 4 * kGemmConsumers] =
            make_float4(sums_[b][i], sums_[b][i + 1], sums_[b][i + 2], sums_[b][i + 3]);
      }
    }
    __threadfence();
    MeetThreads(1 + Warpgroup(), kWarpgroup);
    if (threadIdx.x % kWarpgroup == 0) StoreRelease(Flag(block), 1);
  }

  // The blocks after this one have the tile's other columns; always summed in their order.
  GEMMA_DEVICE void AddPartials(const GemmPieces& pieces, const GemmPiece& piece) {
    const int64_t tile_end =
        static_cast<int64_t>(piece.tile - p_.schedule.whole_tiles + 1) * p_.schedule.units;
    int block = static_cast<int>(blockIdx.x);
    while (pieces.EndOfRun(block) < tile_end) {
      ++block;
      if (threadIdx.x % kWarpgroup == 0) {
        Spin spin;
        while (LoadAcquire(Flag(block)) == 0) spin.Pause();
      }
      MeetThreads(1 + Warpgroup(), kWarpgroup);
      const float4* const from = Partial(block);
#pragma unroll
      for (int b = 0; b < 2; ++b) {
#pragma unroll
        for (int i = 0; i < kSums; i += 4) {
          const float4 part = LoadFromL2(from + (b * kSums + i) / 4 * kGemmConsumers);
          sums_[b][i] += part.x, sums_[b][i + 1] += part.y;
          sums_[b][i + 2] += part.z, sums_[b][i + 3] += part.w;
        }
      }
      if (threadIdx.x % kWarpgroup == 0) *Flag(block) = 0;
    }
  }

  const TileMap& map_;
  std::byte* const shared_;
  RingPlace weights_, tile_;
  RawWeights<kLayout> raw_[2];
  uint32_t a_[2][2][8];  // [buffer][block]
};

template <WeightLayout kLayout, int kTokens>
__global__ void __launch_bounds__(kGemmThreads, 1)
    GemmSm90Kernel(const __grid_constant__ GemmSm90Params p, const __grid_constant__ TileMap map) {
#if defined(GEMMA_CUDA_EMULATION) || defined(GEMMA_HOPPER)
  GEMMA_SHARED_MEMORY(shared);
  GemmBlock<kLayout, kTokens>(p, map, shared).Run();
#endif
}

template <WeightLayout kLayout>
cudaError_t LaunchGemmSm90(const GemmSm90Params& p, const TileMap& map, int tile_tokens,
                           const LaunchOptions& launch) {
  const LaunchShape shape{dim3(static_cast<unsigned>(p.schedule.blocks)), kGemmThreads,
                          static_cast<size_t>(GemmRingsOf(kLayout, tile_tokens).bytes), launch};
  if (tile_tokens == kFewTokens) return Launch(GemmSm90Kernel<kLayout, kFewTokens>, shape, p, map);
  return Launch(GemmSm90Kernel<kLayout, kGemmTokens>, shape, p, map);
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_GEMM_SM90_KERNEL_H_
