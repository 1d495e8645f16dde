// What a block of prompt attention (prompt.cu) has and does, whichever way its warpgroups share the
// work: which queries and keys are its own, the ring of keys and values, and, of a warpgroup that
// multiplies, the steps from scores to weighted values of 64 rows.
//
// Rows are queries of one kv head: tokens times the heads that it serves. All of a row's softmax,
// in float32, lies in the four lanes that share it.
#ifndef CC_KERNELS_CUDA_ATTENTION_PROMPT_ROWS_H_
#define CC_KERNELS_CUDA_ATTENTION_PROMPT_ROWS_H_

#include <cmath>

#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/attention/rope.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/hopper.h"

namespace gemma::cuda {

inline constexpr int kPromptConsumers = 2 * kWarpgroup;
inline constexpr int kPromptThreads = 3 * kWarpgroup;
inline constexpr int kPromptRows = 64;                // of a warpgroup
inline constexpr int kPromptColumns = 256;            // of the values, of a warpgroup
inline constexpr int kQueryTile = kPromptRows * 128;  // bytes of 64 columns

template <int kHeadDim, int kRotated, bool kPaired>
struct PromptShape {
  static constexpr bool kShared = kRotated > 0;
  static constexpr bool kSameRows = kHeadDim > kPromptColumns;  // for both warpgroups
  static constexpr bool kTurns = kSameRows && kShared;          // at computing weights
  static constexpr int kBlockRows = kSameRows ? kPromptRows : 2 * kPromptRows;
  static constexpr int kKeys = kSameRows || kPaired ? 32 : 64;  // positions of a block of keys
  static constexpr int kScoreTiles = (kPaired ? 2 : 1) * (kHeadDim + kRotated) / 64;
  static constexpr int kKeyTile = kKeys * 128;                          // bytes of 64 columns
  static constexpr int kValues = kShared ? 0 : kScoreTiles * kKeyTile;  // in a stage
  static constexpr int kStage = kValues + (kShared ? kScoreTiles : kHeadDim / 64) * kKeyTile;
  static constexpr int kStages = kShared ? 3 : 2;
  static constexpr int kQueries = kStages * kStage;
  static constexpr int kBarriers = kQueries + kBlockRows / kPromptRows * kScoreTiles * kQueryTile;
  // Of kTurns, from each warpgroup to the other: a block's weights, as they lie in registers, and
  // the rows' largest scores; at the end the rows' totals.
  static constexpr int kWeights = kBarriers + 64;
  static constexpr int kWeightBytes = kKeys / 16 * kWarpgroup * 16;
  static constexpr int kRowBytes = kWarpgroup * 8;
  static constexpr int kLargest = kWeights + (kTurns ? 2 * kWeightBytes : 0);
  static constexpr int kTotals = kLargest + (kTurns ? 2 * kRowBytes : 0);
  static constexpr int kBytes = kTotals + (kTurns ? 2 * kRowBytes : 0);
  static_assert(kBytes <= 227 << 10);
};

template <int kHeadDim, int kRotated, bool kPaired>
class PromptRows {
 public:
  using S = PromptShape<kHeadDim, kRotated, kPaired>;
  static constexpr int kScoreColumns = 64 * S::kScoreTiles;
  // What a lane holds of a block's weights, for products of 16 positions each.
  using Weights = uint32_t[S::kKeys / 16][4];

  GEMMA_DEVICE PromptRows(const AttentionParams& p, std::byte* shared)
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

  // Blocks of keys, which the ring brings in their order: 0 to blocks() - 1.
  GEMMA_DEVICE int blocks() const { return end_ - begin_; }
  GEMMA_DEVICE std::byte* shared() const { return shared_; }
  GEMMA_DEVICE static int Warpgroup() { return static_cast<int>(threadIdx.x) / kWarpgroup; }
  // Barriers of who shares out the work, after the ring's.
  GEMMA_DEVICE Barrier& OtherBarrier(int i) const { return Full(2 * S::kStages + i); }

  // Barriers, queries; all threads of the block.
  GEMMA_DEVICE void Begin() const {
    if (threadIdx.x == 0) {
      for (int i = 0; i < S::kStages; ++i) {
        InitBarrier(Full(i), kWarpgroup);
        InitBarrier(Empty(i), kPromptConsumers / kWarp);
      }
      for (int i = 0; i < 2; ++i) InitBarrier(OtherBarrier(i), kWarpgroup);
      FenceBarrierInit();
    }
    CopyQueries();
    FenceShared();
    __syncthreads();
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

  // ---- a warpgroup that multiplies ----

  // Which positions the lane's rows see.
  GEMMA_DEVICE void FindVisible() {
    for (int i = 0; i < 2; ++i) {
      const int row = RowOfLane() + 8 * i, r = row < rows_ ? row : rows_ - 1;
      last_[i] = PositionOf(r);
      first_[i] = FirstVisible(cache_, last_[i]);
    }
  }

  // Block n of the keys, once it is there.
  GEMMA_DEVICE const std::byte* Await(int n) const {
    WaitBarrier(Full(n % S::kStages), n / S::kStages % 2);
    FenceShared();
    return shared_ + n % S::kStages * S::kStage;
  }
  GEMMA_DEVICE void Release(int n) const {
    __syncwarp();
    if (Lane() == 0) Arrive(Empty(n % S::kStages));
  }

  GEMMA_DEVICE void StartScores(const std::byte* keys) {
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
  }

  // Scores of block n to weights, given the rows' largest scores so far, which become those with
  // block n. The sum of all of the warpgroup's own weights is kept.
  GEMMA_DEVICE void Weigh(int n, float (&largest)[2], Weights& weights) {
    if (NeedsMask(begin_ + n)) Mask(begin_ + n);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int k = 0; k < S::kKeys / 2; ++k) {
        if (k / 2 % 2 == i) largest[i] = fmaxf(largest[i], scores_[k]);
      }
      largest[i] = QuadMax(largest[i]);
      const float base = Base(largest[i]);
      float total = 0;
#pragma unroll
      for (int k = 0; k < S::kKeys / 2; ++k) {
        if (k / 2 % 2 != i) continue;
        scores_[k] = exp2f(scores_[k] * Exponent() - base);
        total += scores_[k];
      }
      total_[i] = total_[i] * exp2f(total_largest_[i] * Exponent() - base) + total;
      total_largest_[i] = largest[i];
    }
#pragma unroll
    for (int k = 0; k < S::kKeys / 4; ++k)
      weights[k / 4][k % 4] = PackHalf(scores_[2 * k], scores_[2 * k + 1]);
  }

  // Sums so far are rescaled where a row has a new largest score.
  GEMMA_DEVICE void Rescale(const float (&largest)[2]) {
    float rescale[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      rescale[i] = exp2f(largest_[i] * Exponent() - Base(largest[i]));
      largest_[i] = largest[i];
    }
    if (__any_sync(kAllLanes, rescale[0] != 1 || rescale[1] != 1) == 0) return;
#pragma unroll
    for (int n = 0; n < kPromptColumns / 2; ++n) sums_[n] *= rescale[n / 2 % 2];
  }
  GEMMA_DEVICE void CopyLargest(float (&largest)[2]) const {
    largest[0] = largest_[0], largest[1] = largest_[1];
  }

  // Adds weights times values of a block; under way until FinishValues. The first starts the sums.
  GEMMA_DEVICE void StartValues(const std::byte* block, const Weights& weights, bool first) {
    const std::byte* const columns =
        block + S::kValues + (S::kSameRows ? Warpgroup() * (kPromptColumns / 64) * S::kKeyTile : 0);
    FenceProducts();
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) {
      TurnedProduct(sums_, weights[k], TurnedDescriptor(columns, k, S::kKeyTile),
                    !first || k > 0 ? 1 : 0);
    }
    CommitProducts();
  }
  GEMMA_DEVICE static void FinishValues(Weights& weights) {
    WaitProducts<0>();
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) KeepRegisters(weights[k]);
  }

  // Sums of the warpgroup's own weights, for the largest scores of all blocks.
  GEMMA_DEVICE void Totals(float (&totals)[2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      totals[i] = QuadSum(total_[i]) * exp2f(total_largest_[i] * Exponent() - Base(largest_[i]));
    }
  }

  GEMMA_DEVICE void Store(const float (&totals)[2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float factor = kActivationScale / totals[i];
      const int row = RowOfLane() + 8 * i;
      if (row >= rows_) continue;
      const int64_t out_row = (kPaired ? 2 : 1) * (row / group_);
      const int64_t query = out_row * p_.prepare.heads + head_ * group_ + row % group_;
      uint16_t* const to = p_.out + query * kHeadDim + Lane() % 4 * 2 +
                           (S::kSameRows ? Warpgroup() * kPromptColumns : 0);
#pragma unroll
      for (int n = 0; n < kPromptColumns / 8; ++n) {
        const float a = sums_[4 * n + 2 * i] * factor, b = sums_[4 * n + 2 * i + 1] * factor;
        *reinterpret_cast<uint32_t*>(to + 8 * n) = PackHalf(a, b);
        if constexpr (kPaired) {
          *reinterpret_cast<uint32_t*>(to + p_.prepare.heads * kHeadDim + 8 * n) =
              PackHalf(kPairScale * HalfRest(a), kPairScale * HalfRest(b));
        }
      }
    }
  }

 private:
  GEMMA_DEVICE Barrier& Full(int i) const {
    return reinterpret_cast<Barrier*>(shared_ + S::kBarriers)[i];
  }
  GEMMA_DEVICE Barrier& Empty(int i) const { return Full(S::kStages + i); }
  GEMMA_DEVICE int PositionOf(int row) const { return start_ + row / group_; }
  // The lane's first row; it has row + 8 too.
  GEMMA_DEVICE int RowOfLane() const {
    return first_row_ + (S::kSameRows ? 0 : Warpgroup() * kPromptRows) + WarpIndex() % 4 * 16 +
           Lane() / 4;
  }

  // To tiles of 64 rows and 64 columns: those of the first 64 rows, then those of the others.
  GEMMA_DEVICE void CopyQueries() const {
    constexpr int kChunks = kScoreColumns / 8;
    for (int i = static_cast<int>(threadIdx.x); i < S::kBlockRows * kChunks; i += kPromptThreads) {
      const int r = i / kChunks, chunk = i % kChunks, row = first_row_ + r;
      uint4 value = make_uint4(0, 0, 0, 0);
      if (row < rows_) {
        const int64_t query =
            static_cast<int64_t>(row / group_) * p_.prepare.heads + head_ * group_ + row % group_;
        value = reinterpret_cast<const uint4*>(p_.q + query * kScoreColumns)[chunk];
      }
      std::byte* const tile =
          shared_ + S::kQueries + (r / kPromptRows * S::kScoreTiles + chunk / 8) * kQueryTile;
      *reinterpret_cast<uint4*>(tile + TileOffset(r % kPromptRows, chunk % 8)) = value;
    }
  }

  // Positions that no row of the block sees become zeros: the cache may hold anything there.
  template <int kTiles>
  GEMMA_DEVICE void CopyBlock(const uint16_t* plane, int block, std::byte* to) const {
    const int thread = static_cast<int>(threadIdx.x) - kPromptConsumers, chunk = thread % 8;
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

  GEMMA_DEVICE float Exponent() const { return p_.scale * 1.4426950408889634f; }  // of 2
  // Rows that have seen nothing yet: 2^(-infinity - 0), not a difference of infinities.
  GEMMA_DEVICE float Base(float largest) const {
    return largest == -INFINITY ? 0 : largest * Exponent();
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
  int first_[2], last_[2];                     // positions that the lane's rows see
  float largest_[2] = {-INFINITY, -INFINITY};  // scores, which sums_ belong to
  float total_[2] = {};
  float total_largest_[2] = {-INFINITY, -INFINITY};  // which total_ belongs to
  float scores_[S::kKeys / 2];
  float sums_[kPromptColumns / 2];
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_PROMPT_ROWS_H_
