// What every pass of the sampling kernel (sample.cu) over the logits uses, and the threshold of
// top_k and top_p, found by radix selection.
#ifndef CC_KERNELS_CUDA_SAMPLING_SAMPLE_PASSES_H_
#define CC_KERNELS_CUDA_SAMPLING_SAMPLE_PASSES_H_

#include <cmath>

#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/sampling/params.h"
#include "cc/kernels/cuda/sampling/rank.h"
#include "cc/kernels/philox.h"

namespace gemma::cuda {

using Mass = unsigned long long;

inline constexpr int kSampleWarps = kSampleThreads / kWarp;

struct SampleShared {
  unsigned long long histogram[kDigitBins];
  unsigned long long warps[kSampleWarps];
  unsigned long long in_bin;      // of the bin that a selection goes on in
  unsigned long long bin_before;  // of the bins that rank before it
  unsigned long long all;
  int bin;
};

// A block's range of ids.
class SamplePasses {
 public:
  GEMMA_DEVICE SamplePasses(const SampleParams& p, SampleShared& shared)
      : p_(p),
        state_(*p.state),
        shared_(shared),
        request_(*p.request),
        begin_(static_cast<int>(int64_t{p.vocab} * blockIdx.x / gridDim.x)),
        end_(static_cast<int>(int64_t{p.vocab} * (blockIdx.x + 1) / gridDim.x)) {}

 protected:
  // exp((logit - largest) / temperature), at least 0.
  GEMMA_DEVICE double Probability(RankKey key) const {
    const double difference = static_cast<double>(LogitOf(key)) - static_cast<double>(largest_);
    return exp(difference / static_cast<double>(request_.sampling.temperature));
  }
  GEMMA_DEVICE Mass MassOf(RankKey key) const {
    return static_cast<Mass>(Probability(key) * 0x1p44 + 0.5);
  }

  // What top_p keeps at least.
  GEMMA_DEVICE Mass WantedMass(Mass all) const {
    const double wanted =
        ceil(static_cast<double>(request_.sampling.top_p) * static_cast<double>(all));
    return wanted < 1 ? 1ull : static_cast<Mass>(wanted);
  }

  GEMMA_DEVICE RankKey KeyAt(int id) const { return RankKeyOf(LoadFromL2(p_.logits + id), id); }

  template <typename Function>
  GEMMA_DEVICE void ForEachKey(const Function& function) const {
    for (int id = begin_ + static_cast<int>(threadIdx.x); id < end_; id += kSampleThreads)
      function(KeyAt(id));
  }

  // Waits until every block has come here.
  // The counter goes up by one for each block and never down.
  GEMMA_DEVICE void GridBarrier() const {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      const uint32_t before = atomicAdd(&state_.barrier, 1u);
      const uint32_t target = (before / gridDim.x + 1) * gridDim.x;
      Spin spin;
      while (static_cast<int32_t>(LoadAcquire(&state_.barrier) - target) < 0) spin.Pause();
    }
    __syncthreads();
    __threadfence();
  }

  // The sum over the threads before this one; shared `all` gets the sum over all.
  GEMMA_DEVICE unsigned long long ExclusiveSum(unsigned long long value) const {
    unsigned long long inclusive = value;
    for (int delta = 1; delta < kWarp; delta *= 2) {
      const unsigned long long other = __shfl_up_sync(kAllLanes, inclusive, delta);
      if (Lane() >= delta) inclusive += other;
    }
    if (Lane() == kWarp - 1) shared_.warps[WarpIndex()] = inclusive;
    __syncthreads();
    unsigned long long before = inclusive - value, all = 0;
    for (int w = 0; w < kSampleWarps; ++w) {
      if (w < WarpIndex()) before += shared_.warps[w];
      all += shared_.warps[w];
    }
    if (threadIdx.x == 0) shared_.all = all;
    __syncthreads();
    return before;
  }

  GEMMA_DEVICE Mass KeptMass(RankKey key, RankKey kept, RankKey first) const {
    if (key < kept) return 0;
    if (key != first && Probability(key) < static_cast<double>(request_.sampling.min_p)) return 0;
    return MassOf(key);
  }

  // The draw, in [0, total).
  GEMMA_DEVICE Mass Target(Mass total) const {
    const double u = SamplingUniform(request_.sampling.seed, request_.position);
    const Mass target = static_cast<Mass>(u * static_cast<double>(total));
    return target < total ? target : total - 1;  // a total beyond 2^53 may have been rounded up
  }

  const SampleParams& p_;
  SampleState& state_;
  SampleShared& shared_;
  const SampleRequest request_;
  const int begin_;
  const int end_;
  float largest_ = 0;
};

class KeySelection : public SamplePasses {
 public:
  using SamplePasses::SamplePasses;

 protected:
  // The smallest key k such that the keys from k up (and from `floor` up) weigh at least
  // `wanted(weight of all)`.
  template <typename Weight, typename Wanted>
  GEMMA_DEVICE RankKey Select(int kind, RankKey floor, const Weight& weight,
                              const Wanted& wanted) const {
    RankKey prefix = 0;
    unsigned long long needed = 0;
    for (int digit = 0; digit < kDigits; ++digit) {
      const int shift = 64 - kDigitBits * (digit + 1) < 0 ? 0 : 64 - kDigitBits * (digit + 1);
      const int width = digit + 1 < kDigits ? kDigitBits : 64 - kDigitBits * (kDigits - 1);
      if (kind > 0 || digit > 0) {  // FindLargest has filled the first
        FillHistogram(digit, shift, width, prefix, floor, weight);
        PublishHistogram(state_.histograms[kind][digit]);
        GridBarrier();
      }
      FindBin(state_.histograms[kind][digit], digit == 0 ? nullptr : &needed, wanted);
      if (digit == 0) needed = wanted(shared_.all);
      needed -= shared_.bin_before;
      prefix = prefix << width | static_cast<RankKey>(shared_.bin);
      const unsigned long long in_bin = shared_.in_bin;
      __syncthreads();
      // The whole bin is kept, or, once the digits cover the logit, it holds a single id.
      if (in_bin == needed || (digit >= 2 && in_bin < 2 * weight(prefix << shift))) {
        prefix <<= shift;
        break;
      }
    }
    return prefix > floor ? prefix : floor;
  }

  GEMMA_DEVICE void ClearHistogram() const {
    for (int i = static_cast<int>(threadIdx.x); i < kDigitBins; i += kSampleThreads)
      shared_.histogram[i] = 0;
    __syncthreads();
  }

  template <typename Weight>
  GEMMA_DEVICE void FillHistogram(int digit, int shift, int width, RankKey prefix, RankKey floor,
                                  const Weight& weight) const {
    ClearHistogram();
    ForEachKey([&](RankKey key) {
      if (key < floor || (digit > 0 && key >> (shift + width) != prefix)) return;
      const unsigned long long w = weight(key);
      if (w > 0) atomicAdd(&shared_.histogram[key >> shift & ((1u << width) - 1)], w);
    });
    __syncthreads();
  }

  GEMMA_DEVICE void PublishHistogram(unsigned long long* to) const {
    for (int i = static_cast<int>(threadIdx.x); i < kDigitBins; i += kSampleThreads) {
      if (shared_.histogram[i] > 0) atomicAdd(&to[i], shared_.histogram[i]);
    }
  }

  // From the highest bin down, the one in which the running weight reaches the needed one: shared
  // bin, the weight of the bins above it, and the weight of all.
  template <typename Wanted>
  GEMMA_DEVICE void FindBin(const unsigned long long* bins, const unsigned long long* known,
                            const Wanted& wanted) const {
    constexpr int kEach = kDigitBins / kSampleThreads;
    unsigned long long mine[kEach], sum = 0;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      mine[i] = LoadFromL2(&bins[kDigitBins - 1 - (static_cast<int>(threadIdx.x) * kEach + i)]);
      sum += mine[i];
    }
    unsigned long long before = ExclusiveSum(sum);
    const unsigned long long needed = known != nullptr ? *known : wanted(shared_.all);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (before < needed && before + mine[i] >= needed) {
        shared_.bin = kDigitBins - 1 - (static_cast<int>(threadIdx.x) * kEach + i);
        shared_.bin_before = before;
        shared_.in_bin = mine[i];
      }
      before += mine[i];
    }
    __syncthreads();
  }
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_SAMPLING_SAMPLE_PASSES_H_
