// Attention of many tokens on compute capability 9.0 (flash attention), for head sizes 256 and 512.
//
// Two warpgroups multiply and a third fills a ring with blocks of keys and values from the cache,
// of which only visible positions are read (warp-specialized). A warpgroup has 64 rows
// (prompt_rows.h) and sums 256 columns of the values: with heads of 256 the two take different
// rows, with heads of 512 the same rows and different halves of the columns. There they take turns
// at the scores: each computes the weights of every second block and hands them to the other, so
// nothing is computed twice, and one's products run while the other computes exponentials. (Where
// keys and values are apart, the ring is too small for two blocks at a time: both compute all.)
#include "cc/kernels/cuda/attention/prompt_rows.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {
namespace {

// A warpgroup that needs nothing of the other.
template <typename Rows>
GEMMA_DEVICE void AttendAlone(Rows& rows) {
  typename Rows::Weights weights;
  float largest[2];
  for (int n = 0; n < rows.blocks(); ++n) {
    const std::byte* const block = rows.Await(n);
    rows.StartScores(block);
    WaitProducts<0>();
    rows.CopyLargest(largest);
    rows.Weigh(n, largest, weights);
    rows.Rescale(largest);
    rows.StartValues(block, weights, n == 0);
    Rows::FinishValues(weights);
    rows.Release(n);
  }
  float totals[2];
  rows.Totals(totals);
  rows.Store(totals);
}

// Warpgroup kMine of the two that have the same rows: blocks n with n % 2 == kMine are its own.
// Sums take all blocks in their order, so both have the same largest scores.
template <typename Rows, int kMine>
class PromptTurns {
 public:
  using S = typename Rows::S;
  using Weights = typename Rows::Weights;

  GEMMA_DEVICE explicit PromptTurns(Rows& rows) : rows_(rows) {}

  GEMMA_DEVICE void Attend() {
    const int blocks = rows_.blocks();
    if constexpr (kMine == 0) Own(0);
#pragma unroll 1
    for (int n = kMine == 0 ? 2 : 1; n < blocks; n += 2) Both(n);
    if ((blocks - 1) % 2 != kMine) {
      Weights other;
      Receive(blocks - 1, other);
      rows_.StartValues(rows_.Await(blocks - 1), other, blocks == 1);
      Rows::FinishValues(other);
    }
    Finish();
  }

 private:
  // Block 0, before which there is nothing.
  GEMMA_DEVICE void Own(int n) {
    const std::byte* const block = rows_.Await(n);
    rows_.StartScores(block);
    WaitProducts<0>();
    Weights own;
    float largest[2];
    WeighAndSend(n, largest, own);
    rows_.Rescale(largest);
    rows_.StartValues(block, own, true);
    Rows::FinishValues(own);
    rows_.Release(n);
  }

  // The other's block n - 1, whose values are added during n's softmax, and block n.
  GEMMA_DEVICE void Both(int n) {
    const std::byte* const block = rows_.Await(n);
    rows_.StartScores(block);
    WaitProducts<0>();
    Weights own, other;
    Receive(n - 1, other);
    rows_.StartValues(rows_.Await(n - 1), other, n == 1);
    float largest[2];
    WeighAndSend(n, largest, own);
    Rows::FinishValues(other);
    rows_.Release(n - 1);
    rows_.Rescale(largest);
    rows_.StartValues(block, own, false);
    Rows::FinishValues(own);
    rows_.Release(n);
  }

  // To the lane of the other warpgroup with the same rows and columns. It has read what was sent of
  // block n - 2: it sent that of n - 1 afterwards, which has been received.
  GEMMA_DEVICE void WeighAndSend(int n, float (&largest)[2], Weights& weights) {
    rows_.CopyLargest(largest);
    rows_.Weigh(n, largest, weights);
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) {
      WeightsOf(kMine, k) = make_uint4(weights[k][0], weights[k][1], weights[k][2], weights[k][3]);
    }
    PairOf(S::kLargest, kMine) = make_float2(largest[0], largest[1]);
    Arrive(rows_.OtherBarrier(kMine));
  }

  // Sums become those that belong to the largest scores up to block n.
  GEMMA_DEVICE void Receive(int n, Weights& weights) {
    WaitBarrier(rows_.OtherBarrier(1 - kMine), n / 2 % 2);
    const float2 sent = PairOf(S::kLargest, 1 - kMine);
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) {
      const uint4 four = WeightsOf(1 - kMine, k);
      weights[k][0] = four.x, weights[k][1] = four.y, weights[k][2] = four.z,
      weights[k][3] = four.w;
    }
    const float largest[2] = {sent.x, sent.y};
    rows_.Rescale(largest);
  }

  GEMMA_DEVICE void Finish() {
    float totals[2];
    rows_.Totals(totals);
    PairOf(S::kTotals, kMine) = make_float2(totals[0], totals[1]);
    MeetThreads(/*id=*/1, kPromptConsumers);
    const float2 a = PairOf(S::kTotals, 0), b = PairOf(S::kTotals, 1);
    totals[0] = a.x + b.x, totals[1] = a.y + b.y;
    rows_.Store(totals);
  }

  GEMMA_DEVICE static int Thread() { return static_cast<int>(threadIdx.x) % kWarpgroup; }
  GEMMA_DEVICE uint4& WeightsOf(int warpgroup, int k) const {
    std::byte* const at = rows_.shared() + S::kWeights + warpgroup * S::kWeightBytes;
    return reinterpret_cast<uint4*>(at)[k * kWarpgroup + Thread()];
  }
  // Of the lane's two rows: largest scores, or totals.
  GEMMA_DEVICE float2& PairOf(int place, int warpgroup) const {
    std::byte* const at = rows_.shared() + place + warpgroup * S::kRowBytes;
    return reinterpret_cast<float2*>(at)[Thread()];
  }

  Rows& rows_;
};

template <typename Rows>
GEMMA_DEVICE void Run(Rows rows) {
  rows.Begin();
  if (threadIdx.x >= kPromptConsumers) {
    GiveRegisters<40>();
    rows.FillBlocks();
    return;
  }
  TakeRegisters<232>();
  rows.FindVisible();
  if constexpr (!Rows::S::kTurns) {
    AttendAlone(rows);
  } else if (Rows::Warpgroup() == 0) {
    PromptTurns<Rows, 0>(rows).Attend();
  } else {
    PromptTurns<Rows, 1>(rows).Attend();
  }
}

template <int kHeadDim, int kRotated, bool kPaired>
__global__ void __launch_bounds__(kPromptThreads, 1)
    PromptKernel(const __grid_constant__ AttentionParams p) {
#if defined(GEMMA_CUDA_EMULATION) || defined(GEMMA_HOPPER)
  GEMMA_SHARED_MEMORY(shared);
  WaitForPreviousKernel();
  Run(PromptRows<kHeadDim, kRotated, kPaired>(p, shared));
#endif
}

template <int kHeadDim, int kRotated, bool kPaired>
cudaError_t LaunchHead(const AttentionParams& p, const LaunchOptions& launch) {
  using S = PromptShape<kHeadDim, kRotated, kPaired>;
  const int rows = p.prepare.tokens * (p.prepare.heads / p.prepare.cache.kv_heads);
  const LaunchShape shape{dim3(static_cast<unsigned>((rows + S::kBlockRows - 1) / S::kBlockRows),
                               static_cast<unsigned>(p.prepare.cache.kv_heads)),
                          kPromptThreads, S::kBytes, launch};
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
