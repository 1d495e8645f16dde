// Attention of many tokens on GPUs without wgmma (flash attention by mma.sync), for head sizes 256
// and 512.
//
// A block has 32 rows (queries of one kv head) and eight warps, which share out the columns of the
// scores (and positions, where columns are few): each keeps its part of the queries in registers and
// multiplies it with a block of keys; the sums meet in shared memory, where eight threads a row add
// them, in the same order always, and make weights of them. A warp then has an eighth of the values'
// columns for all rows. So queries, keys and values are read from shared memory once. Nothing may
// leave the registers: kernels leave the L1 cache too small for it.
// While weights of one block of keys multiply values, the next one's scores are computed.
#include <cmath>
#include <cstddef>

#include "cc/kernels/cuda/attention/prompt_mma_block.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {
namespace {

template <int kHeadDim, int kRotated, bool kPaired, bool kLarge>
class MmaPrompt : public MmaPromptBlock<kHeadDim, kRotated, kPaired, kLarge> {
 public:
  using Block = MmaPromptBlock<kHeadDim, kRotated, kPaired, kLarge>;
  using typename Block::S;
  static constexpr int kParts = kPaired ? 2 : 1;  // of queries and keys
  static constexpr int kScoreColumns = 64 * S::kScoreTiles;

  GEMMA_DEVICE MmaPrompt(const AttentionParams& p, std::byte* shared) : Block(p, shared) {
    const int row = first_row_ + Thread() / kMmaRowThreads, r = row < rows_ ? row : rows_ - 1;
    last_ = PositionOf(r);
    first_ = FirstVisible(cache_, last_);
  }

  GEMMA_DEVICE void Run() {
    LoadQueries();
    StartCopies(-1);
    for (int n = -1; n < blocks_; ++n) {
      WaitCopies<0>();
      __syncthreads();  // the copies have come for all, and all have left the block before
      if (n + 1 < blocks_) StartCopies(n + 1);
      if (n + 1 < blocks_) AddScores(n + 1);
      if (n >= 0) AddValues(n);
      __syncthreads();
      if (n + 1 < blocks_) Weigh(n + 1);
    }
    FinishTotals();
    Store();
  }

 private:
  using Block::begin_;
  using Block::blocks_;
  using Block::cache_;
  using Block::FactorOf;
  using Block::first_row_;
  using Block::group_;
  using Block::head_;
  using Block::KeyGroup;
  using Block::KeyPlace;
  using Block::Keys;
  using Block::p_;
  using Block::PositionOf;
  using Block::rows_;
  using Block::Split;
  using Block::StartCopies;
  using Block::SumsAt;
  using Block::Thread;
  using Block::Values;
  using Block::WeightsAt;

  // The warp's columns of the queries, as operands.
  GEMMA_DEVICE void LoadQueries() {
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // rows Lane() / 4 + 8 i
      const int row = first_row_ + Lane() / 4 + 8 * i;
      const int64_t query =
          static_cast<int64_t>(row / group_) * p_.prepare.heads + head_ * group_ + row % group_;
      const uint16_t* const from = p_.q + query * kScoreColumns + Lane() % 4 * 2;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
#pragma unroll
        for (int k = 0; k < S::kSteps; ++k) {
          const int column = part * kHeadDim + (Split() * S::kSteps + k) * 16;
          uint32_t (&a)[4] = queries_[part][i / 2][k];
          a[i % 2] = row < rows_ ? *reinterpret_cast<const uint32_t*>(from + column) : 0;
          a[i % 2 + 2] = row < rows_ ? *reinterpret_cast<const uint32_t*>(from + column + 8) : 0;
        }
      }
    }
  }

  // ---- scores ----

  // The warp's columns of the scores of block n, for its positions, to shared memory.
  GEMMA_DEVICE void AddScores(int n) {
    float scores[2][S::kMyKeys / 8][4] = {};  // of 16 rows, and 8 positions
    const std::byte* const keys = Keys(n);
    const int first_key = KeyGroup() * S::kMyKeys, first_chunk = 2 * S::kSteps * Split();
    uint32_t b[kParts][4];
    if constexpr (S::kMyKeys % 16 == 0) {
#pragma unroll
      for (int k = 0; k < S::kSteps; ++k) {
#pragma unroll
        for (int e = 0; e < S::kMyKeys / 8; e += 2) {
          LoadKeys(keys, first_key + e * 8 + Lane() / 16 * 8 + Lane() % 8,
                   first_chunk + 2 * k + Lane() / 8 % 2, b);
#pragma unroll
          for (int m = 0; m < 2; ++m) {
            AddProduct(m, k, b, 0, scores[m][e]);
            AddProduct(m, k, b, 2, scores[m][e + 1]);
          }
        }
      }
    } else {
#pragma unroll
      for (int k = 0; k < S::kSteps; k += 2) {
        LoadKeys(keys, first_key + Lane() % 8, first_chunk + 2 * k + Lane() / 8, b);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
#pragma unroll
          for (int m = 0; m < 2; ++m) AddProduct(m, k + i, b, 2 * i, scores[m][0]);
        }
      }
    }
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int e = 0; e < S::kMyKeys / 8; ++e) {
        const int row = m * 16 + Lane() / 4, eight = KeyGroup() * (S::kMyKeys / 8) + e;
        const float (&s)[4] = scores[m][e];
        reinterpret_cast<float2*>(SumsAt(Split(), row, eight))[Lane() % 4] =
            make_float2(s[0], s[1]);
        reinterpret_cast<float2*>(SumsAt(Split(), row + 8, eight))[Lane() % 4] =
            make_float2(s[2], s[3]);
      }
    }
  }

  GEMMA_DEVICE static void LoadKeys(const std::byte* keys, int key, int chunk,
                                    uint32_t (&b)[kParts][4]) {
#pragma unroll
    for (int part = 0; part < kParts; ++part)
      LoadMatrix(b[part], keys + KeyPlace(key, part * kHeadDim / 8 + chunk));
  }

  // Step k of the queries of 16 rows times 8 positions, which b has from `at` on.
  GEMMA_DEVICE void AddProduct(int m, int k, const uint32_t (&b)[kParts][4], int at,
                               float (&sums)[4]) const {
    MultiplyAccumulateHalf(sums, queries_[0][m][k], b[0][at], b[0][at + 1]);
    if constexpr (kPaired) {  // hi * lo and lo * hi
      MultiplyAccumulateHalf(sums, queries_[0][m][k], b[1][at], b[1][at + 1]);
      MultiplyAccumulateHalf(sums, queries_[1][m][k], b[0][at], b[0][at + 1]);
    }
  }

  // Scores of block n to weights; what the sums so far are multiplied with.
  GEMMA_DEVICE void Weigh(int n) {
    constexpr int kMine = S::kKeys / kMmaRowThreads;  // positions of a thread
    const int row = Thread() / kMmaRowThreads, first = Thread() % kMmaRowThreads * kMine;
    float scores[kMine] = {};
#pragma unroll
    for (int split = 0; split < S::kSplits; ++split) {
      AddSums<kMine>(SumsAt(split, row, first / 8) + first % 8, scores);
    }
    float largest = largest_;
#pragma unroll
    for (int i = 0; i < kMine; ++i) {
      const int position = (begin_ + n) * S::kKeys + first + i;
      if (position < first_ || position > last_) scores[i] = -INFINITY;
      largest = fmaxf(largest, scores[i]);
    }
#pragma unroll
    for (int mask = 1; mask < kMmaRowThreads; mask *= 2)
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, mask));
    const float base = Base(largest), rescale = exp2f(largest_ * Exponent() - base);
    largest_ = largest;
    total_ *= rescale;
#pragma unroll
    for (int i = 0; i < kMine; ++i) {
      scores[i] = exp2f(scores[i] * Exponent() - base);
      total_ += scores[i];
    }
#pragma unroll
    for (int i = 0; i < kMine; i += 2) {
      *reinterpret_cast<uint32_t*>(WeightsAt(row, first / 8) + 2 * (first % 8 + i)) =
          PackHalf(scores[i], scores[i + 1]);
    }
    if (first == 0) FactorOf(row) = rescale;
  }

  // Four at a time where there are so many: fewer would meet in the same banks.
  template <int kCount>
  GEMMA_DEVICE static void AddSums(const float* from, float (&to)[kCount]) {
    if constexpr (kCount % 4 == 0) {
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(from + i);
        to[i] += four.x, to[i + 1] += four.y, to[i + 2] += four.z, to[i + 3] += four.w;
      }
    } else {
      const float2 two = *reinterpret_cast<const float2*>(from);
      to[0] += two.x, to[1] += two.y;
    }
  }

  GEMMA_DEVICE float Exponent() const { return p_.scale * 1.4426950408889634f; }  // of 2
  // Rows that have seen nothing yet: 2^(-infinity - 0), not a difference of infinities.
  GEMMA_DEVICE float Base(float largest) const {
    return largest == -INFINITY ? 0 : largest * Exponent();
  }

  // ---- values ----

  // The warp's columns of the values of block n, times the weights.
  GEMMA_DEVICE void AddValues(int n) {
    MultiplySums();
    const std::byte* const values = Values(n);
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) {
      uint32_t a[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m)
        LoadMatrix(a[m], WeightsAt(m * 16 + Lane() % 16, 2 * k + Lane() / 16));
#pragma unroll
      for (int c = 0; c < S::kMyColumns / 8; c += 2) {
        const int chunk = WarpIndex() * (S::kMyColumns / 8) + c + Lane() / 16;
        uint32_t b[4];  // of 8 columns, then of 8 more
        LoadMatrixTransposed(b, values + KeyPlace(k * 16 + Lane() % 16, chunk));
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          MultiplyAccumulateHalf(sums_[m][c], a[m], b[0], b[1]);
          MultiplyAccumulateHalf(sums_[m][c + 1], a[m], b[2], b[3]);
        }
      }
    }
  }

  // Sums become those that belong to the largest scores so far.
  GEMMA_DEVICE void MultiplySums() {
    float factors[4];
    bool changed = false;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      factors[i] = FactorOf(Lane() / 4 + 8 * i);
      changed = changed || factors[i] != 1;
    }
    if (__any_sync(kAllLanes, changed) == 0) return;
#pragma unroll
    for (int c = 0; c < S::kMyColumns / 8; ++c) {
#pragma unroll
      for (int i = 0; i < 8; ++i) sums_[i / 4][c][i % 4] *= factors[i / 2];
    }
  }

  // To FactorOf: what makes sums results.
  GEMMA_DEVICE void FinishTotals() {
    float total = total_;
#pragma unroll
    for (int mask = 1; mask < kMmaRowThreads; mask *= 2)
      total += __shfl_xor_sync(kAllLanes, total, mask);
    if (Thread() % kMmaRowThreads == 0)
      FactorOf(Thread() / kMmaRowThreads) = kActivationScale / total;
    __syncthreads();
  }

  GEMMA_DEVICE void Store() const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = Lane() / 4 + 8 * i, row = first_row_ + r;
      if (row >= rows_) continue;
      const float factor = FactorOf(r);
      const int64_t out_row = kParts * static_cast<int64_t>(row / group_);
      const int64_t query = out_row * p_.prepare.heads + head_ * group_ + row % group_;
      uint16_t* const to = p_.out + query * kHeadDim + WarpIndex() * S::kMyColumns + Lane() % 4 * 2;
#pragma unroll
      for (int c = 0; c < S::kMyColumns / 8; ++c) {
        const float (&s)[4] = sums_[i / 2][c];
        const float a = s[i % 2 * 2] * factor, b = s[i % 2 * 2 + 1] * factor;
        *reinterpret_cast<uint32_t*>(to + 8 * c) = PackHalf(a, b);
        if constexpr (kPaired) {
          *reinterpret_cast<uint32_t*>(to + p_.prepare.heads * kHeadDim + 8 * c) =
              PackHalf(kPairScale * HalfRest(a), kPairScale * HalfRest(b));
        }
      }
    }
  }

  // Of the row whose weights the thread makes: positions that it sees, the largest score, and the
  // thread's share of the weights' sum.
  int first_, last_;
  float largest_ = -INFINITY;
  float total_ = 0;
  uint32_t queries_[kParts][2][S::kSteps][4];
  float sums_[2][S::kMyColumns / 8][4] = {};  // of 16 rows, and 8 columns
};

template <int kHeadDim, int kRotated, bool kPaired, bool kLarge>
__global__ void __launch_bounds__(kMmaPromptThreads, 1)
    MmaPromptKernel(const __grid_constant__ AttentionParams p) {
#if defined(GEMMA_CUDA_EMULATION) || !defined(__CUDA_ARCH_FEAT_SM90_ALL)
  GEMMA_SHARED_MEMORY(shared);
  WaitForPreviousKernel();
  MmaPrompt<kHeadDim, kRotated, kPaired, kLarge>(p, shared).Run();
#endif
}

template <int kHeadDim, int kRotated, bool kPaired, bool kLarge>
cudaError_t LaunchHead(const AttentionParams& p, const LaunchOptions& launch) {
  const int rows = p.prepare.tokens * (p.prepare.heads / p.prepare.cache.kv_heads);
  const LaunchShape shape{dim3(static_cast<unsigned>((rows + kMmaPromptRows - 1) / kMmaPromptRows),
                               static_cast<unsigned>(p.prepare.cache.kv_heads)),
                          kMmaPromptThreads, MmaShape<kHeadDim, kRotated, kPaired, kLarge>::kBytes,
                          launch};
  return Launch(MmaPromptKernel<kHeadDim, kRotated, kPaired, kLarge>, shape, p);
}

}  // namespace

cudaError_t LaunchPromptAttentionMma(const AttentionParams& p, size_t shared_bytes,
                                     const LaunchOptions& launch) {
  return WithHeadSizes</*kPrompts=*/true>(
      p.prepare.cache, [&]<int kHeadDim, int kRotated, bool kPaired>() {
        using Large = MmaShape<kHeadDim, kRotated, kPaired, /*kLarge=*/true>;
        return Large::kBytes <= shared_bytes
                   ? LaunchHead<kHeadDim, kRotated, kPaired, true>(p, launch)
                   : LaunchHead<kHeadDim, kRotated, kPaired, false>(p, launch);
      });
}

}  // namespace gemma::cuda
