// Attention of many tokens on compute capability 9.0 (flash attention), for head sizes 256 and 512.
//
// Rows are queries of one kv head: tokens times the heads that it serves. Two warpgroups multiply
// and a third fills a ring with blocks of keys and values from the cache, of which only visible
// positions are read (warp-specialized). A warpgroup has 64 rows and sums 256 columns of the
// values: with heads of 256 the two take different rows, with heads of 512 different halves of the
// columns, and both compute the scores. All of a row's softmax, in float32, lies in the four lanes
// that share it.
#include <cmath>

#include "cc/kernels/cuda/attention/rope.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/hopper.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {
namespace {

constexpr int kConsumers = 2 * kWarpgroup;
constexpr int kThreads = 3 * kWarpgroup;
constexpr int kConsumerWarps = kConsumers / kWarp;
constexpr int kRows = 64;                // of a warpgroup
constexpr int kColumns = 256;            // of the values, of a warpgroup
constexpr int kQueryTile = kRows * 128;  // bytes of 64 columns

template <int kHeadDim, int kRotated, bool kPaired>
struct PromptShape {
  static constexpr bool kShared = kRotated > 0;
  static constexpr bool kSameRows = kHeadDim > kColumns;  // for both warpgroups
  static constexpr int kBlockRows = kSameRows ? kRows : 2 * kRows;
  static constexpr int kKeys = kSameRows || kPaired ? 32 : 64;  // positions of a block of keys
  static constexpr int kScoreTiles = (kPaired ? 2 : 1) * (kHeadDim + kRotated) / 64;
  static constexpr int kKeyTile = kKeys * 128;                          // bytes of 64 columns
  static constexpr int kValues = kShared ? 0 : kScoreTiles * kKeyTile;  // in a stage
  static constexpr int kStage = kValues + (kShared ? kScoreTiles : kHeadDim / 64) * kKeyTile;
  static constexpr int kStages = kShared ? 3 : 2;
  static constexpr int kQueries = kStages * kStage;
  static constexpr int kBarriers = kQueries + kBlockRows / kRows * kScoreTiles * kQueryTile;
  static constexpr int kBytes = kBarriers + 64;
  static_assert(kBytes <= 227 << 10);
};

template <int kHeadDim, int kRotated, bool kPaired>
class PromptBlock {
 public:
  using S = PromptShape<kHeadDim, kRotated, kPaired>;
  static constexpr int kScoreColumns = 64 * S::kScoreTiles;

  GEMMA_DEVICE PromptBlock(const AttentionParams& p, std::byte* shared)
      : p_(p),
        cache_(p.prepare.cache),
        shared_(shared),
        head_(static_cast<int>(blockIdx.y)),
        group_(p.prepare.heads / cache_.kv_heads),
        start_(static_cast<int>(*p.prepare.start)),
        rows_(p.prepare.tokens * group_),
        // Blocks with the most keys come first.
        first_row_(static_cast<int>(gridDim.x - 1 - blockIdx.x) * S::kBlockRows) {
    int last_row = first_row_ + S::kBlockRows - 1;
    if (last_row >= rows_) last_row = rows_ - 1;
    begin_ = FirstVisible(cache_, PositionOf(first_row_)) / S::kKeys;
    end_ = PositionOf(last_row) / S::kKeys + 1;
  }

  GEMMA_DEVICE void Run() {
    if (threadIdx.x == 0) {
      for (int i = 0; i < S::kStages; ++i) {
        InitBarrier(Full(i), kWarpgroup);
        InitBarrier(Empty(i), kConsumerWarps);
      }
      FenceBarrierInit();
    }
    CopyQueries();
    FenceShared();
    __syncthreads();
    if (threadIdx.x >= kConsumers) {
      GiveRegisters<40>();
      FillBlocks();
    } else {
      TakeRegisters<232>();
      Attend();
    }
  }

 private:
  GEMMA_DEVICE Barrier& Full(int i) const {
    return reinterpret_cast<Barrier*>(shared_ + S::kBarriers)[i];
  }
  GEMMA_DEVICE Barrier& Empty(int i) const { return Full(S::kStages + i); }
  GEMMA_DEVICE int PositionOf(int row) const { return start_ + row / group_; }

  // To tiles of 64 rows and 64 columns: those of the first 64 rows, then those of the others.
  GEMMA_DEVICE void CopyQueries() const {
    constexpr int kChunks = kScoreColumns / 8;
    for (int i = static_cast<int>(threadIdx.x); i < S::kBlockRows * kChunks; i += kThreads) {
      const int r = i / kChunks, chunk = i % kChunks, row = first_row_ + r;
      uint4 value = make_uint4(0, 0, 0, 0);
      if (row < rows_) {
        const int64_t query =
            static_cast<int64_t>(row / group_) * p_.prepare.heads + head_ * group_ + row % group_;
        value = reinterpret_cast<const uint4*>(p_.q + query * kScoreColumns)[chunk];
      }
      std::byte* const tile =
          shared_ + S::kQueries + (r / kRows * S::kScoreTiles + chunk / 8) * kQueryTile;
      *reinterpret_cast<uint4*>(tile + TileOffset(r % kRows, chunk % 8)) = value;
    }
  }

  // ---- the warpgroup that fills the ring ----

  GEMMA_DEVICE void FillBlocks() const {
    int stage = 0, parity = 1;
    for (int block = begin_; block < end_; ++block) {
      WaitBarrier(Empty(stage), parity);
      std::byte* const to = shared_ + stage * S::kStage;
      if constexpr (S::kShared) {
        CopyBlock<S::kScoreTiles>(cache_.values, block, to);
      } else {
        CopyBlock<S::kScoreTiles>(cache_.keys, block, to);
        CopyBlock<kHeadDim / 64>(cache_.values, block, to + S::kValues);
      }
      ArriveAfterCopies(Full(stage));
      if (++stage == S::kStages) stage = 0, parity ^= 1;
    }
  }

  // Positions that no row of the block sees become zeros: the cache may hold anything there.
  template <int kTiles>
  GEMMA_DEVICE void CopyBlock(const uint16_t* plane, int block, std::byte* to) const {
    const int thread = static_cast<int>(threadIdx.x) - kConsumers, chunk = thread % 8;
    const int first = FirstVisible(cache_, PositionOf(first_row_));
    const int last = start_ + p_.prepare.tokens - 1;
#pragma unroll 1
    for (int row = thread / 8; row < S::kKeys; row += kWarpgroup / 8) {
      const int position = block * S::kKeys + row;
      const bool inside = position >= first && position <= last;
      const uint16_t* from =
          plane + SlotOf(cache_, head_, inside ? position : first) * (kTiles * 64) + chunk * 8;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        CopyAsync<16>(to + tile * S::kKeyTile + TileOffset(row, chunk), from + tile * 64,
                      inside ? 16 : 0);
      }
    }
  }

  // ---- the warpgroups that multiply ----

  GEMMA_DEVICE static int Warpgroup() { return static_cast<int>(threadIdx.x) / kWarpgroup; }
  // The lane's first row; it has row + 8 too.
  GEMMA_DEVICE int RowOfLane() const {
    return first_row_ + (S::kSameRows ? 0 : Warpgroup() * kRows) + WarpIndex() % 4 * 16 +
           Lane() / 4;
  }

  GEMMA_DEVICE void Attend() {
    const int row = RowOfLane();
    for (int i = 0; i < 2; ++i) {
      const int r = row + 8 * i < rows_ ? row + 8 * i : rows_ - 1;
      last_[i] = PositionOf(r);
      first_[i] = FirstVisible(cache_, last_[i]);
    }
    int stage = 0, parity = 0;
    for (int block = begin_; block < end_; ++block) {
      WaitBarrier(Full(stage), parity);
      FenceShared();
      const std::byte* const data = shared_ + stage * S::kStage;
      Score(data);
      Softmax(block);
      AddValues(data + S::kValues, block > begin_);
      __syncwarp();
      if (Lane() == 0) Arrive(Empty(stage));
      if (++stage == S::kStages) stage = 0, parity ^= 1;
    }
    Store(row);
  }

  GEMMA_DEVICE void Score(const std::byte* keys) {
    constexpr int kSteps = (kHeadDim + kRotated) / 16;
    const std::byte* const queries =
        shared_ + S::kQueries + (S::kSameRows ? 0 : Warpgroup() * S::kScoreTiles * kQueryTile);
    FenceProducts();
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      AddScores(queries, keys, k, k, k > 0);
      if constexpr (kPaired) {  // hi * lo and lo * hi
        AddScores(queries, keys, k, kSteps + k, true);
        AddScores(queries, keys, kSteps + k, k, true);
      }
    }
    CommitProducts();
    WaitProducts<0>();
  }

  // Step i of 16 columns of the queries times step j of the keys.
  GEMMA_DEVICE void AddScores(const std::byte* queries, const std::byte* keys, int i, int j,
                              bool accumulate) {
    SharedProduct<S::kKeys>(scores_, TileDescriptor(queries + i / 4 * kQueryTile, i % 4),
                            TileDescriptor(keys + j / 4 * S::kKeyTile, j % 4), accumulate ? 1 : 0);
  }

  // Some row of the warp does not see all of the block.
  GEMMA_DEVICE bool NeedsMask(int block) const {
    const bool lane = block * S::kKeys < first_[1] || (block + 1) * S::kKeys - 1 > last_[0];
    return __any_sync(kAllLanes, lane) != 0;
  }

  GEMMA_DEVICE void Mask(int block) {
#pragma unroll
    for (int n = 0; n < S::kKeys / 2; ++n) {
      const int position = block * S::kKeys + n / 4 * 8 + Lane() % 4 * 2 + n % 2, i = n / 2 % 2;
      if (position < first_[i] || position > last_[i]) scores_[n] = -INFINITY;
    }
  }

  GEMMA_DEVICE static float QuadMax(float value) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
    return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
  }
  GEMMA_DEVICE static float QuadSum(float value) {
    value += __shfl_xor_sync(kAllLanes, value, 1);
    return value + __shfl_xor_sync(kAllLanes, value, 2);
  }

  // Scores to weights; sums so far are rescaled where a row has a new largest score.
  GEMMA_DEVICE void Softmax(int block) {
    if (NeedsMask(block)) Mask(block);
    const float scale = p_.scale * 1.4426950408889634f;  // exponents of 2
    float rescale[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float largest = largest_[i];
#pragma unroll
      for (int n = 0; n < S::kKeys / 2; ++n) {
        if (n / 2 % 2 == i) largest = fmaxf(largest, scores_[n]);
      }
      largest = QuadMax(largest);
      // Rows that have seen nothing yet: 2^(-infinity - 0), not a difference of infinities.
      const float base = largest == -INFINITY ? 0 : largest * scale;
      rescale[i] = exp2f(largest_[i] * scale - base);
      float total = 0;
#pragma unroll
      for (int n = 0; n < S::kKeys / 2; ++n) {
        if (n / 2 % 2 != i) continue;
        scores_[n] = exp2f(scores_[n] * scale - base);
        total += scores_[n];
      }
      total_[i] = total_[i] * rescale[i] + total;
      largest_[i] = largest;
    }
    if (__any_sync(kAllLanes, rescale[0] != 1 || rescale[1] != 1) == 0) return;
#pragma unroll
    for (int n = 0; n < kColumns / 2; ++n) sums_[n] *= rescale[n / 2 % 2];
  }

  GEMMA_DEVICE void AddValues(const std::byte* values, bool accumulate) {
    uint32_t weights[S::kKeys / 16][4];
#pragma unroll
    for (int n = 0; n < S::kKeys / 4; ++n)
      weights[n / 4][n % 4] = PackHalf(scores_[2 * n], scores_[2 * n + 1]);
    const std::byte* const columns =
        values + (S::kSameRows ? Warpgroup() * (kColumns / 64) * S::kKeyTile : 0);
    FenceProducts();
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) {
      TurnedProduct(sums_, weights[k], TurnedDescriptor(columns, k, S::kKeyTile),
                    accumulate || k > 0 ? 1 : 0);
    }
    CommitProducts();
    WaitProducts<0>();
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) KeepRegisters(weights[k]);
  }

  GEMMA_DEVICE void Store(int first_row) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float factor = kActivationScale / QuadSum(total_[i]);
      const int row = first_row + 8 * i;
      if (row >= rows_) continue;
      const int64_t out_row = (kPaired ? 2 : 1) * (row / group_);
      const int64_t query = out_row * p_.prepare.heads + head_ * group_ + row % group_;
      uint16_t* const to =
          p_.out + query * kHeadDim + Lane() % 4 * 2 + (S::kSameRows ? Warpgroup() * kColumns : 0);
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        const float a = sums_[4 * n + 2 * i] * factor, b = sums_[4 * n + 2 * i + 1] * factor;
        *reinterpret_cast<uint32_t*>(to + 8 * n) = PackHalf(a, b);
        if constexpr (kPaired) {
          *reinterpret_cast<uint32_t*>(to + p_.prepare.heads * kHeadDim + 8 * n) =
              PackHalf(kPairScale * HalfRest(a), kPairScale * HalfRest(b));
        }
      }
    }
  }

  const AttentionParams& p_;
  const DeviceCache& cache_;
  std::byte* const shared_;
  const int head_;
  const int group_;
  const int start_;
  const int rows_;
  const int first_row_;
  int begin_;  // blocks of keys
  int end_;
  int first_[2], last_[2];  // positions that the lane's rows see
  float largest_[2] = {-INFINITY, -INFINITY};
  float total_[2] = {};
  float scores_[S::kKeys / 2];
  float sums_[kColumns / 2];
};

template <int kHeadDim, int kRotated, bool kPaired>
__global__ void __launch_bounds__(kThreads, 1)
    PromptKernel(const __grid_constant__ AttentionParams p) {
#if defined(GEMMA_CUDA_EMULATION) || defined(GEMMA_HOPPER)
  GEMMA_SHARED_MEMORY(shared);
  WaitForPreviousKernel();
  PromptBlock<kHeadDim, kRotated, kPaired>(p, shared).Run();
#endif
}

template <int kHeadDim, int kRotated, bool kPaired>
cudaError_t LaunchHead(const AttentionParams& p, const LaunchOptions& launch) {
  using S = PromptShape<kHeadDim, kRotated, kPaired>;
  const int rows = p.prepare.tokens * (p.prepare.heads / p.prepare.cache.kv_heads);
  const LaunchShape shape{dim3(static_cast<unsigned>((rows + S::kBlockRows - 1) / S::kBlockRows),
                               static_cast<unsigned>(p.prepare.cache.kv_heads)),
                          kThreads, S::kBytes, launch};
  return Launch(PromptKernel<kHeadDim, kRotated, kPaired>, shape, p);
}

}  // namespace

cudaError_t LaunchPromptAttention(const AttentionParams& p, const LaunchOptions& launch) {
  return WithHeadSizes</*kPrompts=*/true>(
      p.prepare.cache, [&]<int kHeadDim, int kRotated, bool kPaired>() {
        return LaunchHead<kHeadDim, kRotated, kPaired>(p, launch);
      });
}

}  // namespace gemma::cuda
