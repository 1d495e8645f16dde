// Attention of 1 to 8 tokens over a long cache (split-K flash decoding),
// bound by reading the cache once.
//
// A block works for one kv head on one split of the context; its rows are the queries of that head:
// tokens times heads a kv head serves (grouped-query attention, GQA), packed into the 16 rows of a
// tensor core tile. Older positions depend on no kernel of this step, so their tiles are on the way
// (decode_tiles.h) before the block waits for the projections, of which it makes its queries and
// the call's own keys and values (decode_inputs.h). The splits of a head combine their sums
// together (decode_combine.h).
//
// A tile takes three phases: scores (warps share out positions and halves of the head size),
// softmax (a warp per row), and weights times values (warps share out the head size).
#ifndef CC_KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_
#define CC_KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_

#include <cmath>

#include "cc/kernels/cuda/attention/decode_combine.h"
#include "cc/kernels/cuda/attention/decode_inputs.h"
#include "cc/kernels/cuda/attention/decode_tiles.h"
#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/device/prefetch_share.h"

namespace gemma::cuda {

template <int kHeadDim, int kRotated, bool kPaired, int kRowTiles>
class DecodeBlock {
 public:
  static constexpr int kRows = 16 * kRowTiles;
  using Rows = CacheRows<kHeadDim, kRotated, kPaired>;
  static constexpr int kSteps = Rows::kScoreColumns / 16;  // tensor core steps of a score
  static constexpr int kHalfSteps = (kSteps + 1) / 2;      // of the first four warps
  static constexpr int kColumnTiles = kHeadDim / 8 / kAttentionWarps;  // 8 columns each, of a warp
  static constexpr int kRowsAWarp = kRows / kAttentionWarps;

  GEMMA_DEVICE DecodeBlock(const AttentionParams& p, const DecodeShared& layout, std::byte* shared)
      : p_(p),
        layout_(layout),
        shared_(shared),
        head_(static_cast<int>(blockIdx.x) % p.prepare.cache.kv_heads),
        split_(static_cast<int>(blockIdx.x) / p.prepare.cache.kv_heads),
        start_(static_cast<int>(*p.prepare.start)),
        tiles_(TilesOfSplit(p.prepare.cache, start_, p.prepare.tokens, p.splits, split_)),
        ring_(p, layout, shared, head_, start_, tiles_),
        inputs_(p.prepare, layout, shared, head_, start_, tiles_) {
    for (float& largest : largest_) largest = -INFINITY;
  }

  GEMMA_DEVICE void Run() {
    if (tiles_.begin >= tiles_.end) return;
    ring_.Begin();
    ClearWeights();
    inputs_.PrepareEarly();
    WaitForPreviousKernel();
    LetNextKernelStart();
    inputs_.Prepare();
    bool prefetched = false;
    for (int tile = tiles_.begin; tile < tiles_.end; ++tile) {
      std::byte* const data = ring_.Next(tile);
      if (!prefetched && ring_.AllAreOnTheirWay(tile)) {
        PrefetchNext();
        prefetched = true;
      }
      inputs_.Patch(tile, data);
      Score(data);
      __syncthreads();
      Softmax(tile);
      __syncthreads();
      AddValues(data);
    }
    Finish();
  }

 private:
  GEMMA_DEVICE float* Scores(int half, int row) const {
    return reinterpret_cast<float*>(shared_ + layout_.scores) + (half * kRows + row) * kScoreRow;
  }
  GEMMA_DEVICE float* Rescale() const {
    return reinterpret_cast<float*>(shared_ + layout_.rescale);
  }

  // Rows that hold no query stay like this.
  GEMMA_DEVICE void ClearWeights() const {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kWeightRow / 4; i += kDecodeThreads)
      reinterpret_cast<uint32_t*>(shared_ + layout_.weights)[i] = 0;
    if (static_cast<int>(threadIdx.x) < kRows) Rescale()[threadIdx.x] = 1;
  }

  // When all of this block's own tiles have been asked for. With few of them it is the next kernel,
  // started by then, that should be served.
  GEMMA_DEVICE void PrefetchNext() const {
    constexpr int kFewTiles = 4;
    if (WarpIndex() != kAttentionWarps - 1 || tiles_.end - tiles_.begin < kFewTiles) return;
    PrefetchShare(p_.prefetch, static_cast<int>(blockIdx.x),
                  p_.prepare.cache.kv_heads * tiles_.active_splits);
  }

  // Queries times keys: a warp takes 8 positions and half of the columns.
  GEMMA_DEVICE void Score(const std::byte* keys) const {
    const int tile_row = WarpIndex() % 4 * 8, half = WarpIndex() / 4;
    const int begin = half * kHalfSteps, end = half == 0 ? kHalfSteps : kSteps;
    float sums[kRowTiles][2][4] = {};
#pragma unroll
    for (int i = 0; i < kHalfSteps; i += 2) {
      const int step = begin + i;
      if (step >= end) break;
      const bool pair = step + 1 < end;
      // Two steps of 16 columns at once: matrices of columns 0-7, 8-15, 16-23, 24-31.
      const int chunk = 2 * step + (pair ? Lane() / 8 : Lane() / 8 % 2);
      const int row = tile_row + Lane() % 8;
      uint32_t b[4];
      const auto add = [&](int query_step) {
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          uint32_t a[4];
          LoadQuery(m, query_step, a);
          MultiplyAccumulateHalf(sums[m][0], a, b[0], b[1]);
          if (!pair) continue;
          LoadQuery(m, query_step + 1, a);
          MultiplyAccumulateHalf(sums[m][1], a, b[2], b[3]);
        }
      };
      LoadKeys(keys, row, chunk, b);
      add(step);
      if constexpr (kPaired) {
        add(kSteps + step);  // the queries' lo halves
        LoadKeys(keys, row, chunk + Rows::kScoreColumns / 8, b);
        add(step);
      }
    }
    const int g = Lane() / 4, column = tile_row + Lane() % 4 * 2;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      for (int r = 0; r < 2; ++r) {
        float* to = Scores(half, 16 * m + g + 8 * r) + column;
        to[0] = sums[m][0][2 * r] + sums[m][1][2 * r];
        to[1] = sums[m][0][2 * r + 1] + sums[m][1][2 * r + 1];
      }
    }
  }

  GEMMA_DEVICE static void LoadKeys(const std::byte* keys, int row, int chunk, uint32_t (&b)[4]) {
    LoadMatrix(b, keys + row * Rows::kKeyRow + Rows::template Swizzled<Rows::kKeyRow>(row, chunk));
  }
  GEMMA_DEVICE void LoadQuery(int m, int step, uint32_t (&a)[4]) const {
    LoadMatrix(a, inputs_.Query(16 * m + Lane() % 16) + (2 * step + Lane() / 16) * 16);
  }

  GEMMA_DEVICE void Softmax(int tile) {
    const int position = tiles_.PositionOf(tile) + Lane();
#pragma unroll
    for (int i = 0; i < kRowsAWarp; ++i) {
      const int row = WarpIndex() + kAttentionWarps * i;
      if (row >= inputs_.rows()) break;
      const int query = start_ + inputs_.TokenOf(row);
      float score = -INFINITY;
      if (position <= query && position >= FirstVisible(p_.prepare.cache, query)) {
        score = (Scores(0, row)[Lane()] + Scores(1, row)[Lane()]) * p_.scale;
      }
      const float largest = fmaxf(largest_[i], WarpMax(score));
      float rescale = 1, weight = 0;
      if (largest > -INFINITY) {
        rescale = expf(largest_[i] - largest);
        weight = expf(score - largest);
      }
      const uint32_t bits = PackHalf(weight, 0);
      reinterpret_cast<uint16_t*>(shared_ + layout_.weights + row * kWeightRow)[Lane()] =
          static_cast<uint16_t>(bits);
      total_[i] = total_[i] * rescale + WarpSum(HalfLowToFloat(bits));
      largest_[i] = largest;
      if (Lane() == 0) Rescale()[row] = rescale;
    }
  }

  // Weights times values: a warp takes an eighth of the head's columns.
  GEMMA_DEVICE void AddValues(const std::byte* data) {
    const std::byte* const values = data + Rows::kValueOffset;
    uint32_t a[kRowTiles][2][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      const float low = Rescale()[16 * m + Lane() / 4], high = Rescale()[16 * m + Lane() / 4 + 8];
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        out_[m][n][0] *= low, out_[m][n][1] *= low;
        out_[m][n][2] *= high, out_[m][n][3] *= high;
      }
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        LoadMatrix(a[m][k], shared_ + layout_.weights + (16 * m + Lane() % 16) * kWeightRow +
                                (2 * k + Lane() / 16) * 16);
      }
    }
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
      // The 32 positions of 8 columns: both steps of 16 positions.
      uint32_t b[4];
      const int chunk =
          Rows::template Swizzled<Rows::kValueRow>(Lane(), WarpIndex() * kColumnTiles + n);
      LoadMatrixTransposed(b, values + Lane() * Rows::kValueRow + chunk);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        MultiplyAccumulateHalf(out_[m][n], a[m][0], b[0], b[1]);
        MultiplyAccumulateHalf(out_[m][n], a[m][1], b[2], b[3]);
      }
    }
  }

  GEMMA_DEVICE void Finish() {
    const SplitSums<kHeadDim, kPaired> splits(p_, head_, split_, tiles_.active_splits,
                                              p_.prepare.heads / p_.prepare.cache.kv_heads);
    const bool alone = tiles_.active_splits == 1;
    SplitTotal* const totals = alone ? reinterpret_cast<SplitTotal*>(Scores(0, 0))  // free by now
                                     : splits.Totals(split_);
#pragma unroll
    for (int i = 0; i < kRowsAWarp; ++i) {
      const int row = WarpIndex() + kAttentionWarps * i;
      if (row < inputs_.rows() && Lane() == 0) totals[row] = {largest_[i], total_[i]};
    }
    if (alone) {
      __syncthreads();
      ForEachPair([&](int row, int column, float a, float b) {
        const float factor = 1.0f / totals[row].weight;
        splits.Store(row, column, a * factor, b * factor);
      });
      return;
    }
    float* const mine = splits.Sums(split_);
    ForEachPair([&](int row, int column, float a, float b) {
      *reinterpret_cast<float2*>(mine + row * kHeadDim + column) = make_float2(a, b);
    });
    splits.Combine();
  }

  template <typename Function>
  GEMMA_DEVICE void ForEachPair(const Function& function) const {
    const int g = Lane() / 4;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        const int column = (WarpIndex() * kColumnTiles + n) * 8 + Lane() % 4 * 2;
        const int row = 16 * m + g;
        if (row < inputs_.rows()) function(row, column, out_[m][n][0], out_[m][n][1]);
        if (row + 8 < inputs_.rows()) function(row + 8, column, out_[m][n][2], out_[m][n][3]);
      }
    }
  }

  const AttentionParams& p_;
  const DecodeShared& layout_;
  std::byte* const shared_;
  const int head_;
  const int split_;
  const int start_;
  const TileRange tiles_;
  TileRing<Rows> ring_;
  DecodeInputs<kHeadDim, kRotated, kPaired, kRows> inputs_;
  float out_[kRowTiles][kColumnTiles][4] = {};
  float largest_[kRowsAWarp];
  float total_[kRowsAWarp] = {};
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_
