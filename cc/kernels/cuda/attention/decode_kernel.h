// Attention of 1 to 8 tokens over a long cache (split-K flash decoding),
// bound by reading the cache once.
//
// A block works for one kv head on one split of the context; its rows are the queries of that head:
// tokens times heads a kv head serves (grouped-query attention, GQA), packed into the 16 rows of a
// tensor core tile. It prepares the queries itself (norm, rope) and, where its split holds the
// call's own positions, their keys and values: it writes them to the cache and works on its own
// copy. Tiles of 32 positions come through a ring in shared memory; older positions depend on no
// kernel of this step, so the ring fills before the block waits for the projections. The last block
// of a kv head to finish combines the splits, in their order.
//
// A tile takes three phases: scores (warps share out positions and halves of the head size),
// softmax (a warp per row), and weights times values (warps share out the head size).
#ifndef CC_KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_
#define CC_KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_

#include <cmath>

#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/attention/rope.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {

// The tiles of a block. Tile i holds positions [32 i, 32 i + 32).
struct TileRange {
  int begin = 0;
  int end = 0;
  int active_splits = 1;
};

GEMMA_DEVICE TileRange TilesOfSplit(const DeviceCache& cache, int start, int tokens, int splits,
                                    int split) {
  const int first = FirstVisible(cache, start) / kKeyTile;
  const int end = (start + tokens - 1) / kKeyTile + 1;
  const int tiles = end - first;
  int each = (tiles + splits - 1) / splits;
  if (each < kMinTilesPerSplit) each = kMinTilesPerSplit;
  TileRange range;
  range.active_splits = (tiles + each - 1) / each;
  range.begin = first + split * each;
  range.end = range.begin + each < end ? range.begin + each : end;
  return range;
}

template <int kHeadDim, int kRotated, bool kPaired, int kRowTiles>
class DecodeBlock {
 public:
  static constexpr int kThreads = kAttentionWarps * kWarp;
  static constexpr int kRows = 16 * kRowTiles;
  static constexpr bool kShared = kRotated > 0;
  static constexpr int kScoreColumns = kHeadDim + kRotated;
  static constexpr int kKeyColumns = (kPaired ? 2 : 1) * kScoreColumns;
  static constexpr int kKeyRow = kKeyColumns * 2;  // bytes
  static constexpr int kValueRow = kShared ? kKeyRow : kHeadDim * 2;
  static constexpr int kValueOffset = kShared ? 0 : kKeyTile * kKeyRow;  // of the values in a stage
  static constexpr int kSteps = kScoreColumns / 16;    // tensor core steps of a score
  static constexpr int kHalfSteps = (kSteps + 1) / 2;  // of the first four warps
  static constexpr int kColumnTiles = kHeadDim / 8 / kAttentionWarps;  // 8 columns each, of a warp
  static constexpr int kRowsAWarp = kRows / kAttentionWarps;

  GEMMA_DEVICE DecodeBlock(const AttentionParams& p, const DecodeShared& layout, std::byte* shared)
      : p_(p),
        cache_(p.prepare.cache),
        layout_(layout),
        shared_(shared),
        head_(static_cast<int>(blockIdx.x) % cache_.kv_heads),
        split_(static_cast<int>(blockIdx.x) / cache_.kv_heads),
        start_(static_cast<int>(*p.prepare.start)),
        tokens_(p.prepare.tokens),
        group_(p.prepare.heads / cache_.kv_heads),
        rows_(tokens_ * group_),
        tiles_(TilesOfSplit(cache_, start_, tokens_, p.splits, split_)) {
    for (float& largest : largest_) largest = -INFINITY;
  }

  GEMMA_DEVICE void Run() {
    if (tiles_.begin >= tiles_.end) return;
    for (int i = 0; i < p_.ring_stages - 1; ++i) CopyTile(tiles_.begin + i, i);
    ComputeRotations();
    WaitForPreviousKernel();
    LetNextKernelStart();
    PrepareRows();
    int stage = 0;
    for (int tile = tiles_.begin; tile < tiles_.end; ++tile) {
      WaitForStage();
      __syncthreads();
      const int ahead = stage == 0 ? p_.ring_stages - 1 : stage - 1;
      CopyTile(tile + p_.ring_stages - 1, ahead);
      std::byte* const data = shared_ + stage * layout_.stage_bytes;
      if ((tile + 1) * kKeyTile > start_) PatchNewRows(tile, data);
      Score(data);
      __syncthreads();
      Softmax(tile);
      __syncthreads();
      AddValues(data);
      stage = stage + 1 == p_.ring_stages ? 0 : stage + 1;
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
  GEMMA_DEVICE std::byte* Query(int row) const {
    return shared_ + layout_.queries + row * layout_.query_row;
  }
  GEMMA_DEVICE std::byte* NewKey(int token) const {
    return shared_ + layout_.new_rows + token * kKeyRow;
  }
  GEMMA_DEVICE std::byte* NewValue(int token) const {
    return kShared ? NewKey(token)
                   : shared_ + layout_.new_rows + tokens_ * kKeyRow + token * kValueRow;
  }

  // Chunks of 16 bytes are permuted so that ldmatrix finds those of eight rows in different banks.
  template <int kRowBytes>
  GEMMA_DEVICE static int Swizzled(int row, int chunk) {
    return (kRowBytes % 128 == 0 ? chunk ^ (row & 7) : chunk) * 16;
  }

  GEMMA_DEVICE void WaitForStage() const {
    switch (p_.ring_stages) {
      case 2:
        return WaitCopies<0>();
      case 3:
        return WaitCopies<1>();
      case 4:
        return WaitCopies<2>();
      default:
        return WaitCopies<3>();
    }
  }

  // Starts the copy of a tile; rows that hold no older position become zeros. Commits a group even
  // past the last tile.
  GEMMA_DEVICE void CopyTile(int tile, int stage) const {
    if (tile < tiles_.end) {
      std::byte* const to = shared_ + stage * layout_.stage_bytes;
      const int first = FirstVisible(cache_, start_);
      if constexpr (kShared) {
        CopyRows<kKeyRow>(cache_.values, tile, first, to);
      } else {
        CopyRows<kKeyRow>(cache_.keys, tile, first, to);
        CopyRows<kValueRow>(cache_.values, tile, first, to + kValueOffset);
      }
    }
    CommitCopies();
  }

  template <int kRowBytes>
  GEMMA_DEVICE void CopyRows(const uint16_t* plane, int tile, int first, std::byte* to) const {
    constexpr int kChunks = kRowBytes / 16;
    constexpr int kThreadsARow =
        kChunks % 8 == 0 ? 8 : 2;  // so that each thread needs few rows' addresses
    constexpr int kRowsAtOnce = kThreads / kThreadsARow;
    for (int row = static_cast<int>(threadIdx.x) / kThreadsARow; row < kKeyTile;
         row += kRowsAtOnce) {
      const int position = tile * kKeyTile + row;
      const bool old = position >= first && position < start_;
      const int64_t slot = SlotOf(cache_, head_, old ? position : first);
      const std::byte* from = reinterpret_cast<const std::byte*>(plane) + slot * kRowBytes;
#pragma unroll
      for (int i = 0; i < kChunks / kThreadsARow; ++i) {
        const int chunk = i * kThreadsARow + static_cast<int>(threadIdx.x) % kThreadsARow;
        CopyAsync<16>(to + row * kRowBytes + Swizzled<kRowBytes>(row, chunk), from + chunk * 16,
                      old ? 16 : 0);
      }
    }
  }

  static constexpr int kTurned = kRotatedPairs<kHeadDim, kRotated>;
  GEMMA_DEVICE Rotation* Rotations(int token) const {
    return reinterpret_cast<Rotation*>(shared_ + layout_.rotations) + token * kTurned;
  }

  GEMMA_DEVICE void ComputeRotations() const {
    for (int i = static_cast<int>(threadIdx.x); i < tokens_ * kTurned; i += kThreads) {
      Rotations(0)[i] = RotationOf(start_ + i / kTurned, p_.prepare.frequencies[i % kTurned]);
    }
    __syncthreads();
  }

  // Queries, and keys and values of the call's own tokens in this split.
  GEMMA_DEVICE void PrepareRows() {
    const PrepareParams& p = p_.prepare;
    for (int row = WarpIndex(); row < kRows; row += kAttentionWarps) {
      uint16_t* to = reinterpret_cast<uint16_t*>(Query(row));
      if (row < rows_) {
        const int token = row / group_, head = head_ * group_ + row % group_;
        PrepareQuery<kHeadDim, kRotated, kPaired>(
            p, (static_cast<int64_t>(token) * p.heads + head) * kHeadDim, Rotations(token), to);
      } else {
        for (int i = Lane(); i < kKeyColumns; i += kWarp) to[i] = 0;
      }
    }
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kWeightRow / 4; i += kThreads) {
      reinterpret_cast<uint32_t*>(shared_ + layout_.weights)[i] = 0;
    }
    if (static_cast<int>(threadIdx.x) < kRows) Rescale()[threadIdx.x] = 1;
    for (int token = WarpIndex(); token < tokens_; token += kAttentionWarps) {
      const int position = start_ + token;
      if (position < tiles_.begin * kKeyTile || position >= tiles_.end * kKeyTile) continue;
      uint16_t* key = reinterpret_cast<uint16_t*>(NewKey(token));
      uint16_t* value = reinterpret_cast<uint16_t*>(NewValue(token));
      PrepareKeyValue<kHeadDim, kRotated, kPaired>(
          p, (static_cast<int64_t>(token) * cache_.kv_heads + head_) * kHeadDim, Rotations(token),
          key, value);
      __syncwarp();
      const int64_t slot = SlotOf(cache_, head_, position);
      if (!kShared) CopyRow<kKeyRow>(key, cache_.keys, slot);
      CopyRow<kValueRow>(value, cache_.values, slot);
    }
  }

  template <int kRowBytes>
  GEMMA_DEVICE static void CopyRow(const uint16_t* from, uint16_t* plane, int64_t slot) {
    const uint4* source = reinterpret_cast<const uint4*>(from);
    uint4* to = reinterpret_cast<uint4*>(reinterpret_cast<std::byte*>(plane) + slot * kRowBytes);
    for (int i = Lane(); i < kRowBytes / 16; i += kWarp) to[i] = source[i];
  }

  GEMMA_DEVICE void PatchNewRows(int tile, std::byte* data) const {
    for (int token = WarpIndex(); token < tokens_; token += kAttentionWarps) {
      const int row = start_ + token - tile * kKeyTile;
      if (row < 0 || row >= kKeyTile) continue;
      PatchRow<kKeyRow>(NewKey(token), row, data);
      if (!kShared) PatchRow<kValueRow>(NewValue(token), row, data + kValueOffset);
    }
    __syncthreads();
  }

  template <int kRowBytes>
  GEMMA_DEVICE static void PatchRow(const std::byte* from, int row, std::byte* to) {
    for (int chunk = Lane(); chunk < kRowBytes / 16; chunk += kWarp) {
      *reinterpret_cast<uint4*>(to + row * kRowBytes + Swizzled<kRowBytes>(row, chunk)) =
          *reinterpret_cast<const uint4*>(from + chunk * 16);
    }
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
      LoadMatrix(b, keys + row * kKeyRow + Swizzled<kKeyRow>(row, chunk));
      add(step);
      if constexpr (kPaired) {
        add(kSteps + step);  // the queries' lo halves
        LoadMatrix(b, keys + row * kKeyRow + Swizzled<kKeyRow>(row, chunk + kScoreColumns / 8));
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

  GEMMA_DEVICE void LoadQuery(int m, int step, uint32_t (&a)[4]) const {
    LoadMatrix(a, Query(16 * m + Lane() % 16) + (2 * step + Lane() / 16) * 16);
  }

  GEMMA_DEVICE void Softmax(int tile) {
    const int position = tile * kKeyTile + Lane();
#pragma unroll
    for (int i = 0; i < kRowsAWarp; ++i) {
      const int row = WarpIndex() + kAttentionWarps * i;
      if (row >= rows_) break;
      const int query = start_ + row / group_;
      float score = -INFINITY;
      if (position <= query && position >= FirstVisible(cache_, query)) {
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
    const std::byte* const values = data + kValueOffset;
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
      LoadMatrixTransposed(b, values + Lane() * kValueRow +
                                  Swizzled<kValueRow>(Lane(), WarpIndex() * kColumnTiles + n));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        MultiplyAccumulateHalf(out_[m][n], a[m][0], b[0], b[1]);
        MultiplyAccumulateHalf(out_[m][n], a[m][1], b[2], b[3]);
      }
    }
  }

  GEMMA_DEVICE float* Totals() const {
    return Scores(0, 0);
  }  // [rows][2]: largest score, sum of weights

  GEMMA_DEVICE void Finish() {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kRowsAWarp; ++i) {
      const int row = WarpIndex() + kAttentionWarps * i;
      if (row < rows_ && Lane() == 0)
        Totals()[2 * row] = largest_[i], Totals()[2 * row + 1] = total_[i];
    }
    __syncthreads();
    if (tiles_.active_splits == 1) {
      ForEachPair([&](int row, int column, float a, float b) {
        const float factor = 1.0f / Totals()[2 * row + 1];
        StoreOut(row, column, a * factor, b * factor);
      });
      return;
    }
    float* const mine = Partial(split_);
    ForEachPair([&](int row, int column, float a, float b) {
      *reinterpret_cast<float2*>(mine + row * kHeadDim + column) = make_float2(a, b);
    });
    if (static_cast<int>(threadIdx.x) < 2 * rows_)
      mine[rows_ * kHeadDim + threadIdx.x] = Totals()[threadIdx.x];
    if (IsLast()) Combine();
  }

  // [rows][head_dim] sums, then [rows][2] totals
  GEMMA_DEVICE float* Partial(int split) const {
    return p_.partials +
           static_cast<int64_t>(split * cache_.kv_heads + head_) * rows_ * (kHeadDim + 2);
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
        if (row < rows_) function(row, column, out_[m][n][0], out_[m][n][1]);
        if (row + 8 < rows_) function(row + 8, column, out_[m][n][2], out_[m][n][3]);
      }
    }
  }

  GEMMA_DEVICE void StoreOut(int row, int column, float a, float b) const {
    const int token = row / group_, head = head_ * group_ + row % group_;
    const int64_t out_row = kPaired ? 2 * token : token;
    uint16_t* to = p_.out + (out_row * p_.prepare.heads + head) * kHeadDim + column;
    a *= kActivationScale, b *= kActivationScale;
    *reinterpret_cast<uint32_t*>(to) = PackHalf(a, b);
    if constexpr (kPaired) {
      *reinterpret_cast<uint32_t*>(to + p_.prepare.heads * kHeadDim) =
          PackHalf(kPairScale * HalfRest(a), kPairScale * HalfRest(b));
    }
  }

  // Whether all other splits of the head have left their partial sums.
  GEMMA_DEVICE bool IsLast() const {
    __threadfence();
    __syncthreads();
    uint32_t* const flag = reinterpret_cast<uint32_t*>(shared_ + layout_.last);
    if (threadIdx.x == 0) {
      const uint32_t before = atomicAdd(&p_.counters[head_], 1u);
      *flag = before + 1 == static_cast<uint32_t>(tiles_.active_splits);
      if (*flag) p_.counters[head_] = 0;
      __threadfence();
    }
    __syncthreads();
    return *flag != 0;
  }

  GEMMA_DEVICE void Combine() const {
    const int splits = tiles_.active_splits;
    float* const factors = reinterpret_cast<float*>(shared_);  // [rows][splits], where the ring was
    for (int row = WarpIndex(); row < rows_; row += kAttentionWarps)
      CombineTotals(row, splits, factors + row * splits);
    __syncthreads();
    constexpr int kPieces = kHeadDim / 4;
    for (int i = static_cast<int>(threadIdx.x); i < rows_ * kPieces; i += kThreads) {
      const int row = i / kPieces, column = i % kPieces * 4;
      float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 4
      for (int s = 0; s < splits; ++s) {
        const float4 part =
            LoadFromL2(reinterpret_cast<const float4*>(Partial(s) + row * kHeadDim + column));
        const float f = factors[row * splits + s];
        sum.x += f * part.x, sum.y += f * part.y, sum.z += f * part.z, sum.w += f * part.w;
      }
      StoreOut(row, column, sum.x, sum.y);
      StoreOut(row, column + 2, sum.z, sum.w);
    }
  }

  // What each split's sums of a row are multiplied with.
  GEMMA_DEVICE void CombineTotals(int row, int splits, float* factors) const {
    float largest = -INFINITY;
    for (int s = Lane(); s < splits; s += kWarp) largest = fmaxf(largest, LoadTotal(s, row, 0));
    largest = WarpMax(largest);
    float total = 0;
    for (int s = Lane(); s < splits; s += kWarp) {
      const float m = LoadTotal(s, row, 0);
      const float f = m > -INFINITY ? expf(m - largest) : 0;
      factors[s] = f;
      total += f * LoadTotal(s, row, 1);
    }
    total = WarpSum(total);
    __syncwarp();
    for (int s = Lane(); s < splits; s += kWarp) factors[s] /= total;
  }

  GEMMA_DEVICE float LoadTotal(int split, int row, int i) const {
    return LoadFromL2(Partial(split) + rows_ * kHeadDim + 2 * row + i);
  }

  const AttentionParams& p_;
  const DeviceCache& cache_;
  const DecodeShared& layout_;
  std::byte* const shared_;
  const int head_;
  const int split_;
  const int start_;
  const int tokens_;
  const int group_;
  const int rows_;
  const TileRange tiles_;
  float out_[kRowTiles][kColumnTiles][4] = {};
  float largest_[kRowsAWarp];
  float total_[kRowsAWarp] = {};
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_
