// The matrix-vector product of 4-bit weights for one or two tokens, as fast as memory can be read.
//
// Persistent and warp-specialized. Rows are cut into tiles of 16. The first tiles of each block are
// its own, all others are claimed from a counter, since some multiprocessors read a fifth faster
// than others. Of a block's 16 warps, one claims tiles and has them copied into a ring in shared
// memory, chunk by chunk (where rows are long, a chunk is a piece of them); 14 multiply, each its
// own groups of all chunks; and one adds up their sums and stores outputs. They meet at barriers
// only. Weights depend on no kernel, so the ring fills while the block waits for the kernel that
// makes the input, and what the next kernel reads first is on its way when this one has nothing
// left to claim: memory hardly idles between two products.
//
// Which block computes a tile does not change its sums: the same bits whatever the timing.
#include "cc/kernels/cuda/device/barrier.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/device/prefetch_share.h"
#include "cc/kernels/cuda/matvec/copy.h"
#include "cc/kernels/cuda/matvec/epilogue.h"
#include "cc/kernels/cuda/matvec/input.h"
#include "cc/kernels/cuda/matvec/multiply.h"
#include "cc/kernels/cuda/matvec/stream.h"

namespace gemma::cuda {
namespace {

constexpr int kAdder = kStreamWarps;
constexpr int kProducer = kStreamWarps + 1;
static_assert(kMatvecThreads == (kStreamWarps + 2) * kWarp);
constexpr int kEnd = -1;

// What all warps of a block know.
struct StreamBlock {
  const MatvecParams& p;
  const MatvecStream& s;
  const StreamShared& layout;
  std::byte* shared;

  GEMMA_DEVICE Barrier* Barriers() const {
    return reinterpret_cast<Barrier*>(shared + layout.barriers);
  }
  GEMMA_DEVICE Barrier& Full(int stage) const { return Barriers()[stage]; }
  GEMMA_DEVICE Barrier& Empty(int stage) const { return Barriers()[kMaxStreamStages + stage]; }
  GEMMA_DEVICE Barrier& SumsFull(int slot) const { return Barriers()[2 * kMaxStreamStages + slot]; }
  GEMMA_DEVICE Barrier& SumsEmpty(int slot) const {
    return Barriers()[2 * kMaxStreamStages + kStreamSlots + slot];
  }
  GEMMA_DEVICE int32_t& ChunkOfStage(int stage) const {
    return reinterpret_cast<int32_t*>(shared + layout.chunks)[stage];
  }
  GEMMA_DEVICE int32_t& TileOfSlot(int slot) const {
    return reinterpret_cast<int32_t*>(shared + layout.chunks)[kMaxStreamStages + slot];
  }
  GEMMA_DEVICE std::byte* Stage(int stage) const { return shared + stage * layout.stage.bytes; }
  GEMMA_DEVICE float* Partials(int slot, int warp) const {
    return reinterpret_cast<float*>(shared + layout.partials) +
           (slot * kStreamWarps + warp) * kStreamOutputs;
  }
};

// A place in a ring of `size`, and the parity of the phases of its barriers.
struct RingPlace {
  int index = 0;
  int parity = 0;

  GEMMA_DEVICE void Advance(int size) {
    if (++index < size) return;
    index = 0;
    parity ^= 1;
  }
};

// ---- the warp that claims and copies ----

template <WeightLayout kLayout>
class ChunkProducer {
 public:
  GEMMA_DEVICE explicit ChunkProducer(const StreamBlock& block) : b_(block) {}

  GEMMA_DEVICE void InitBarriers() const {
    if (Lane() != 0) return;
    for (int i = 0; i < b_.s.stages; ++i) {
      InitBarrier(b_.Full(i), 1);
      InitBarrier(b_.Empty(i), kStreamWarps * kWarp);
    }
    for (int i = 0; i < kStreamSlots; ++i) {
      InitBarrier(b_.SumsFull(i), kStreamWarps * kWarp);
      InitBarrier(b_.SumsEmpty(i), kWarp);
    }
    FenceBarrierInit();
  }

  // The block's own tiles, those that it can claim, what comes after this kernel, and an end.
  GEMMA_DEVICE void Run() {
    for (int i = 0; i < OwnTiles(); ++i) {
      const int tile = static_cast<int>(blockIdx.x + static_cast<unsigned>(i) * gridDim.x);
      if (tile < b_.s.tiles) CopyTile<true>(tile);
    }
    for (int tile = Claim(); tile < b_.s.tiles; tile = Claim()) CopyTile<false>(tile);
    PrefetchShare(b_.s.prefetch, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
    AwaitStage();
    if (Lane() == 0) {
      b_.ChunkOfStage(place_.index) = kEnd;
      Arrive(b_.Full(place_.index));
    }
  }

 private:
  // As many as fill the ring.
  GEMMA_DEVICE int OwnTiles() const { return (b_.s.stages + b_.s.pieces - 1) / b_.s.pieces; }

  // The next tile that no block has. Every block claims until there is none left, so the last claim
  // of all is known, and it puts the counter back.
  GEMMA_DEVICE int Claim() const {
    const int first = OwnTiles() * static_cast<int>(gridDim.x);
    const int shared = b_.s.tiles > first ? b_.s.tiles - first : 0;
    int claim = 0;
    if (Lane() == 0) {
      claim = static_cast<int>(atomicAdd(b_.s.claims, 1u));
      if (claim == shared + static_cast<int>(gridDim.x) - 1) *b_.s.claims = 0;
    }
    return first + __shfl_sync(kAllLanes, claim, 0);
  }

  GEMMA_DEVICE void AwaitStage() const { WaitBarrier(b_.Empty(place_.index), place_.parity ^ 1); }

  // kOneByOne: while the block may still wait for its input, whose way is long behind everything
  // that has been asked for, nothing is asked for before what was asked for last has come.
  template <bool kOneByOne>
  GEMMA_DEVICE void CopyTile(int tile) {
    for (int piece = 0; piece < b_.s.pieces; ++piece) {
      AwaitStage();
      if (kOneByOne && begun_) WaitBarrier(b_.Full(last_.index), last_.parity);
      CopyChunk(tile, piece, place_.index);
      begun_ = true;
      last_ = place_;
      place_.Advance(b_.s.stages);
    }
  }

  // One lane starts all copies of a chunk: lanes would take turns at it, and more slowly.
  GEMMA_DEVICE void CopyChunk(int tile, int piece, int stage) const {
    __syncwarp();
    if (!IsElected()) return;
    const StreamStage& layout = b_.layout.stage;
    Barrier& full = b_.Full(stage);
    b_.ChunkOfStage(stage) = tile * b_.s.pieces + piece;
    const int scale_bytes = layout.scale_bytes * (HasMins(kLayout) ? 2 : 1);
    ArriveExpecting(full, kStreamTileRows * (layout.value_bytes + scale_bytes));
    int tile_in_part;
    const MatvecPart& part = PartOf(b_.p, tile, tile_in_part);
    const int64_t first = static_cast<int64_t>(tile_in_part) * part.tile_step;
    const int64_t second = first + part.second_row;
    const int value_row = b_.p.columns / 2, scale_row = b_.p.columns / 16;
    std::byte* const to = b_.Stage(stage);
    auto copy = [&](const std::byte* Matrix::* plane, int row_bytes, int piece_bytes, int to_row,
                    std::byte* to_plane) {
      CopyRows(part.first.*plane + first * row_bytes + piece * piece_bytes, row_bytes, piece_bytes,
               to_row, to_plane, full);
      CopyRows(part.second.*plane + second * row_bytes + piece * piece_bytes, row_bytes,
               piece_bytes, to_row, to_plane + 8 * to_row, full);
    };
    copy(&Matrix::values, value_row, layout.value_bytes, layout.value_row, to);
    copy(&Matrix::scales, scale_row, layout.scale_bytes, layout.scale_row, to + layout.scales);
    if constexpr (HasMins(kLayout))
      copy(&Matrix::mins, scale_row, layout.scale_bytes, layout.scale_row, to + layout.mins);
  }

  // Eight rows of a piece; whole rows follow each other on both sides.
  GEMMA_DEVICE static void CopyRows(const std::byte* from, int row_bytes, int piece_bytes,
                                    int to_row, std::byte* to, Barrier& full) {
    if (row_bytes == piece_bytes) {
      CopyBulk(to, from, 8 * row_bytes, full);
      return;
    }
#pragma unroll
    for (int r = 0; r < 8; ++r) CopyBulk(to + r * to_row, from + r * row_bytes, piece_bytes, full);
  }

  const StreamBlock& b_;
  RingPlace place_;
  RingPlace last_;
  bool begun_ = false;
};

// ---- the warps that multiply ----

// Lane 4 g + t takes group t of four, of rows g and g + 8; multiply.h (GroupMultiplier) says
// how groups and tokens share the columns of the tensor core's result.
template <WeightLayout kLayout, int kTokens>
class ChunkMultiplier {
 public:
  GEMMA_DEVICE ChunkMultiplier(const StreamBlock& block, const InputView& in)
      : b_(block),
        starts_(in.starts + Lane() % 4),
        input_(block.shared + block.layout.zeros),
        values_(Lane() / 4 * block.layout.stage.value_row + Lane() % 4 * 16),
        scales_(block.layout.stage.scales + Lane() / 4 * block.layout.stage.scale_row +
                Lane() % 2 * 4) {
    const int token = Lane() / 16;
    if (Lane() / 4 % 4 != Lane() % 4 || token >= kTokens) return;
    input_ = in.activations + token * in.activation_stride + Lane() % 4 * 64;
    input_step_ = 256;
  }

  GEMMA_DEVICE void Run() const {
    RingPlace place, slot;
    const int sets = b_.s.piece_columns / 128;
    float sums[4] = {0, 0, 0, 0};
#pragma unroll 1
    while (true) {
      WaitBarrier(b_.Full(place.index), place.parity);
      const int chunk = b_.ChunkOfStage(place.index);
      if (chunk == kEnd) break;
      const std::byte* const stage = b_.Stage(place.index);
      const int tile = chunk / b_.s.pieces, piece = chunk - tile * b_.s.pieces;
#pragma unroll 1
      for (int set = WarpIndex(); set < sets; set += kStreamWarps)
        AddSet(stage, set, piece * sets + set, sums);
      Arrive(b_.Empty(place.index));
      place.Advance(b_.s.stages);
      if (piece < b_.s.pieces - 1) continue;
      Leave(tile, slot, sums);
      slot.Advance(kStreamSlots);
    }
    // The end, for the adding warp.
    WaitBarrier(b_.SumsEmpty(slot.index), slot.parity ^ 1);
    if (threadIdx.x == 0) b_.TileOfSlot(slot.index) = kEnd;
    Arrive(b_.SumsFull(slot.index));
  }

 private:
  // Adds 128 columns: set `set` of the stage, `in_row` of the row.
  GEMMA_DEVICE void AddSet(const std::byte* stage, int set, int in_row, float (&sums)[4]) const {
    const StreamStage& layout = b_.layout.stage;
    uint4 words[2];
    uint32_t scales[2] = {}, mins[2] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      words[r] = LoadFourWords(stage + values_ + 8 * r * layout.value_row + set * 64);
      const std::byte* const from = stage + scales_ + 8 * r * layout.scale_row + set * 8;
      scales[r] = LoadWord(from);
      if constexpr (HasMins(kLayout)) mins[r] = LoadWord(from + layout.mins - layout.scales);
    }
    const float2 start = *reinterpret_cast<const float2*>(starts_ + in_row * 4);
    float low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
    if constexpr (ZeroPoint(kLayout) > 0) {
      low[0] = low[2] = start.x;
      low[1] = low[3] = start.y;
    }
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const uint4 x = LoadFourWords(input_ + in_row * input_step_ + w * 16);
      Fragments a;
#pragma unroll
      for (int r = 0; r < 2; ++r)
        SpreadNibbles(w == 0   ? words[r].x
                      : w == 1 ? words[r].y
                      : w == 2 ? words[r].z
                               : words[r].w,
                      r, a);
      MultiplyAccumulateHalf(low, a[0], x.x, x.y);
      MultiplyAccumulateHalf(high, a[1], x.z, x.w);
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sums[2 * r] += HalfLowToFloat(scales[r]) * (low[2 * r] + high[2 * r]);
      sums[2 * r + 1] += HalfHighToFloat(scales[r]) * (low[2 * r + 1] + high[2 * r + 1]);
      if constexpr (HasMins(kLayout)) {
        sums[2 * r] += HalfLowToFloat(mins[r]) * start.x;
        sums[2 * r + 1] += HalfHighToFloat(mins[r]) * start.y;
      }
    }
  }

  GEMMA_DEVICE void Leave(int tile, const RingPlace& slot, float (&sums)[4]) const {
    WaitBarrier(b_.SumsEmpty(slot.index), slot.parity ^ 1);
    float low = sums[0] + sums[1], high = sums[2] + sums[3];
    low += __shfl_xor_sync(kAllLanes, low, 1);
    high += __shfl_xor_sync(kAllLanes, high, 1);
    const int token = Lane() % 4 / 2;
    if (Lane() % 2 == 0 && token < kTokens) {
      float* const to = b_.Partials(slot.index, WarpIndex()) + token * kStreamTileRows + Lane() / 4;
      to[0] = low;
      to[8] = high;
    }
    if (threadIdx.x == 0) b_.TileOfSlot(slot.index) = tile;
    Arrive(b_.SumsFull(slot.index));
    for (float& sum : sums) sum = 0;
  }

  const StreamBlock& b_;
  const float4* const starts_;
  const std::byte* input_;  // of this lane's group: zeros in most lanes
  int input_step_ = 0;      // from 128 columns to the next
  const int values_;
  const int scales_;
};

// ---- the warp that adds ----

template <WeightLayout kLayout, int kTokens>
class TileAdder {
 public:
  GEMMA_DEVICE explicit TileAdder(const StreamBlock& block) : b_(block) {}

  GEMMA_DEVICE void Run() const {
    RingPlace slot;
#pragma unroll 1
    while (true) {
      WaitBarrier(b_.SumsFull(slot.index), slot.parity);
      const int tile = b_.TileOfSlot(slot.index);
      if (tile == kEnd) return;
      const float sum = SumOfWarps(slot.index);
      Arrive(b_.SumsEmpty(slot.index));
      Store(tile, sum);
      slot.Advance(kStreamSlots);
    }
  }

 private:
  // Lane 16 token + row has the sum of that token and row; of one token, both halves have it.
  GEMMA_DEVICE float SumOfWarps(int slot) const {
    constexpr int kShare = kTokens == 1 ? kStreamWarps / 2 : kStreamWarps;
    const int output = kTokens == 1 ? Lane() % kStreamTileRows : Lane();
    const int first = kTokens == 1 ? Lane() / kStreamTileRows * kShare : 0;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kShare; ++w) sum += b_.Partials(slot, first + w)[output];
    if constexpr (kTokens == 1) sum += __shfl_xor_sync(kAllLanes, sum, kStreamTileRows);
    return sum;
  }

  GEMMA_DEVICE void Store(int tile, float sum) const {
    const int token = Lane() / kStreamTileRows, r = Lane() % kStreamTileRows;
    const bool paired = kTokens == 2 && IsPair(b_.p.in_number);
    const bool mine = paired ? token == 0 : token < kTokens && token < b_.p.tokens;
    int tile_in_part;
    const MatvecPart& part = PartOf(b_.p, tile, tile_in_part);
    const int row = tile_in_part * part.tile_step + (r < 8 ? r : r - 8 + part.second_row);
    sum *= ResultUnit(kLayout);
    if (paired) sum += kPairUnit * __shfl_xor_sync(kAllLanes, sum, kStreamTileRows);
    if (b_.p.gated) {
      const float up = __shfl_xor_sync(kAllLanes, sum, 8);
      if (mine && r < 8) StoreOutput(b_.p, part, token, row, GeluTanh(sum) * up);
    } else if (mine) {
      StoreOutput(b_.p, part, token, row, Capped(b_.p, sum));
    }
  }

  const StreamBlock& b_;
};

template <WeightLayout kLayout, int kTokens>
__global__ void __launch_bounds__(kMatvecThreads, 1)
    StreamKernel(const __grid_constant__ MatvecParams p, const __grid_constant__ MatvecStream s,
                 const __grid_constant__ StreamShared layout) {
  GEMMA_SHARED_MEMORY(shared);
  const StreamBlock block{p, s, layout, shared};
  ChunkProducer<kLayout> producer(block);
  if (WarpIndex() == kProducer) producer.InitBarriers();
  if (threadIdx.x < 16) reinterpret_cast<uint32_t*>(shared + layout.zeros)[threadIdx.x] = 0;
  __syncthreads();
  if (WarpIndex() == kProducer) {
    producer.Run();
    return;
  }
  constexpr int kInputThreads = kMatvecThreads - kWarp;
  const MatvecInput<kLayout, kTokens, kInputThreads> input(p, shared, layout.input);
  input.Prepare();
  MeetThreads(kInputBarrier, kInputThreads);
  if (WarpIndex() == kAdder) {
    TileAdder<kLayout, kTokens>(block).Run();
  } else {
    ChunkMultiplier<kLayout, kTokens>(block, input.View()).Run();
  }
}

template <WeightLayout kLayout, int kTokens>
cudaError_t LaunchStreamKernel(const MatvecParams& params, const MatvecStream& stream,
                               const LaunchOptions& launch) {
  const StreamShared layout = StreamSharedOf(params.columns, stream.piece_columns, HasMins(kLayout),
                                             kTokens, stream.stages);
  const LaunchShape shape{dim3(static_cast<unsigned>(params.blocks)), kMatvecThreads,
                          Exclusive(layout.bytes, launch), launch};
  return Launch(StreamKernel<kLayout, kTokens>, shape, params, stream, layout);
}

}  // namespace

cudaError_t LaunchMatvecStream(const MatvecParams& params, const MatvecStream& stream,
                               const LaunchOptions& launch) {
  const bool mins = params.parts[0].first.layout == WeightLayout::kInt4Min;
  if (params.tokens == 1) {
    return mins ? LaunchStreamKernel<WeightLayout::kInt4Min, 1>(params, stream, launch)
                : LaunchStreamKernel<WeightLayout::kInt4, 1>(params, stream, launch);
  }
  return mins ? LaunchStreamKernel<WeightLayout::kInt4Min, 2>(params, stream, launch)
              : LaunchStreamKernel<WeightLayout::kInt4, 2>(params, stream, launch);
}

}  // namespace gemma::cuda
