// What a block of Ampere's prompt attention (prompt_mma.cu) has: its rows, its shared memory, and the
// copies of keys and values.
#ifndef CC_KERNELS_CUDA_ATTENTION_PROMPT_MMA_BLOCK_H_
#define CC_KERNELS_CUDA_ATTENTION_PROMPT_MMA_BLOCK_H_

#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/attention/rope.h"
#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

inline constexpr int kMmaPromptWarps = 8;
inline constexpr int kMmaPromptThreads = kMmaPromptWarps * kWarp;
inline constexpr int kMmaPromptRows = 32;
// That make a row's weights.
inline constexpr int kMmaRowThreads = kMmaPromptThreads / kMmaPromptRows;

// kLarge: where shared memory has room for twice as many positions.
template <int kHeadDim, int kRotated, bool kPaired, bool kLarge>
struct MmaShape {
  static constexpr bool kShared = kRotated > 0;
  static constexpr int kScoreTiles = (kPaired ? 2 : 1) * (kHeadDim + kRotated) / 64;
  static constexpr int kValueTiles = kHeadDim / 64;
  // Of the warps: parts of the columns, times groups of positions.
  static constexpr int kSplits = kHeadDim > 256 ? 8 : kPaired ? 4 : 2;
  static constexpr int kKeyGroups = kMmaPromptWarps / kSplits;
  // Positions of a block of keys.
  static constexpr int kKeys = (kHeadDim > 256 || kPaired ? 16 : 32) * (kLarge ? 2 : 1);
  static constexpr int kMyKeys = kKeys / kKeyGroups;
  static constexpr int kSteps = (kHeadDim + kRotated) / 16 / kSplits;  // of a warp, of 16 columns
  static constexpr int kMyColumns = kHeadDim / kMmaPromptWarps;        // of the values
  // Shared memory: rings of keys and of values, or of both where they are shared.
  static_assert(kScoreTiles % 2 == 0 && kValueTiles % 2 == 0);
  static constexpr int kTile = kKeys * 128;  // bytes of 64 columns
  static constexpr int kKeyStages = kShared ? 3 : 2;
  static constexpr int kKeyStage = kScoreTiles * kTile;
  static constexpr int kValueStage = kShared ? 0 : kValueTiles * kTile;
  static constexpr int kValues = kKeyStages * kKeyStage;
  static constexpr int kSums = kValues + 2 * kValueStage;  // [splits][rows][keys] float32
  static constexpr int kWeights =
      kSums + kSplits * kMmaPromptRows * kKeys * 4;                       // [rows][keys] float16
  static constexpr int kFactors = kWeights + kMmaPromptRows * kKeys * 2;  // [rows] float32
  static constexpr int kBytes = kFactors + kMmaPromptRows * 4;
  static_assert(kLarge || kBytes <= 99 << 10, "what every GPU has");
};

template <int kHeadDim, int kRotated, bool kPaired, bool kLarge>
class MmaPromptBlock {
 public:
  using S = MmaShape<kHeadDim, kRotated, kPaired, kLarge>;

 protected:
  GEMMA_DEVICE MmaPromptBlock(const AttentionParams& p, std::byte* shared)
      : p_(p),
        cache_(p.prepare.cache),
        shared_(shared),
        head_(static_cast<int>(blockIdx.y)),
        group_(p.prepare.heads / cache_.kv_heads),
        start_(static_cast<int>(*p.prepare.start)),
        rows_(p.prepare.tokens * group_),
        // Blocks with the most keys come first.
        first_row_(static_cast<int>(gridDim.x - 1 - blockIdx.x) * kMmaPromptRows) {
    int last_row = first_row_ + kMmaPromptRows - 1;
    if (last_row >= rows_) last_row = rows_ - 1;
    begin_ = FirstVisible(cache_, PositionOf(first_row_)) / S::kKeys;
    blocks_ = PositionOf(last_row) / S::kKeys + 1 - begin_;
  }

  GEMMA_DEVICE static int Thread() { return static_cast<int>(threadIdx.x); }
  GEMMA_DEVICE static int Split() { return WarpIndex() % S::kSplits; }
  GEMMA_DEVICE static int KeyGroup() { return WarpIndex() / S::kSplits; }
  GEMMA_DEVICE int PositionOf(int row) const { return start_ + row / group_; }

  GEMMA_DEVICE std::byte* Keys(int n) const { return shared_ + n % S::kKeyStages * S::kKeyStage; }
  GEMMA_DEVICE std::byte* Values(int n) const {
    return S::kShared ? Keys(n) : shared_ + S::kValues + n % 2 * S::kValueStage;
  }
  // The sums of a split for 8 positions of a row; rows that are written together lie in different
  // banks.
  GEMMA_DEVICE float* SumsAt(int split, int row, int eight) const {
    constexpr int kEights = S::kKeys / 8;
    const int place = eight ^ ((kEights >= 4 ? row : row / 2) & (kEights - 1));
    return reinterpret_cast<float*>(shared_ + S::kSums) +
           (split * kMmaPromptRows + row) * S::kKeys + place * 8;
  }
  // The weights of a row for 8 positions, also in different banks.
  GEMMA_DEVICE std::byte* WeightsAt(int row, int eight) const {
    constexpr int kEights = S::kKeys / 8;
    const int place = eight ^ (row * kEights / 8 & (kEights - 1));
    return shared_ + S::kWeights + (row * kEights + place) * 16;
  }
  GEMMA_DEVICE float& FactorOf(int row) const {
    return reinterpret_cast<float*>(shared_ + S::kFactors)[row];
  }

  // Where in a block of keys or values.
  GEMMA_DEVICE static int KeyPlace(int key, int chunk) {
    return chunk / 8 * S::kTile + TileOffset(key, chunk % 8);
  }

  // ---- copies ----

  // What the scores of block n + 1 and the values of block n need.
  GEMMA_DEVICE void StartCopies(int n) const {
    if (n + 1 < blocks_) {
      const uint16_t* const plane = S::kShared ? cache_.values : cache_.keys;
      CopyBlock<S::kScoreTiles>(plane, n + 1, Keys(n + 1));
    }
    if constexpr (!S::kShared) {
      if (n >= 0) CopyBlock<S::kValueTiles>(cache_.values, n, Values(n));
    }
    CommitCopies();
  }

  // Positions that no row of the block sees become zeros: the cache may hold anything there.
  template <int kTiles>
  GEMMA_DEVICE void CopyBlock(const uint16_t* plane, int n, std::byte* to) const {
    constexpr int kKeysAtOnce = S::kKeys < 32 ? S::kKeys : 32;
    constexpr int kTilesAtOnce = kMmaPromptThreads / (8 * kKeysAtOnce);
    const int chunk = Thread() % 8, tile = Thread() / (8 * kKeysAtOnce);
    const int first = FirstVisible(cache_, PositionOf(first_row_));
    const int last = start_ + p_.prepare.tokens - 1;
#pragma unroll
    for (int r = Thread() / 8 % kKeysAtOnce; r < S::kKeys; r += kKeysAtOnce) {
      const int position = (begin_ + n) * S::kKeys + r;
      const bool inside = position >= first && position <= last;
      const uint16_t* const from =
          plane + SlotOf(cache_, head_, inside ? position : first) * (kTiles * 64) + chunk * 8;
      std::byte* const mine = to + TileOffset(r, chunk);
#pragma unroll
      for (int t = 0; t < kTiles; t += kTilesAtOnce)
        CopyAsync<16>(mine + (t + tile) * S::kTile, from + (t + tile) * 64, inside ? 16 : 0);
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
  int begin_;   // the first block of keys
  int blocks_;  // of keys
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_ATTENTION_PROMPT_MMA_BLOCK_H_
