// Draws a token on the device, as cc/kernels/sampling_params.h defines it.
//
// A few blocks, each with a contiguous range of ids, pass over the logits several times (they lie
// in the L2 cache) with a grid barrier after each pass: the largest; the threshold of top_k and
// then that of top_p, by radix selection; the probability of each block's kept ids; the drawn id.
// Where top_k keeps few, they are listed instead, and one block does the rest.
// Probabilities are integers (2^-44 of the largest one's), so their sums depend on no order.
#include <cfloat>

#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/sampling/params.h"
#include "cc/kernels/cuda/sampling/rank.h"
#include "cc/kernels/philox.h"

namespace gemma::cuda {
namespace {

using Mass = unsigned long long;

constexpr int kWarps = kSampleThreads / kWarp;

struct SampleShared {
  unsigned long long histogram[kDigitBins];
  unsigned long long warps[kWarps];
  unsigned long long in_bin;      // of the bin that a selection goes on in
  unsigned long long bin_before;  // of the bins that rank before it
  unsigned long long all;
  int bin;
};

class Sampler {
 public:
  GEMMA_DEVICE Sampler(const SampleParams& p, SampleShared& shared)
      : p_(p),
        state_(*p.state),
        shared_(shared),
        request_(*p.request),
        begin_(static_cast<int>(int64_t{p.vocab} * blockIdx.x / gridDim.x)),
        end_(static_cast<int>(int64_t{p.vocab} * (blockIdx.x + 1) / gridDim.x)) {}

  GEMMA_DEVICE void Run() {
    Suppress();
    const unsigned long long top_k =
        request_.sampling.top_k > 0 ? static_cast<unsigned long long>(request_.sampling.top_k) : 0;
    const bool selects = top_k > 0 && top_k < static_cast<unsigned long long>(p_.vocab) &&
                         request_.sampling.temperature > 0;
    const RankKey first = FindLargest(selects);
    largest_ = LogitOf(first);
    if (!(request_.sampling.temperature > 0) || std::isinf(largest_)) {
      Conclude(IdOf(first));
      return;
    }
    RankKey kept = 0;  // ids with this key or a larger one are kept
    if (selects) {
      kept =
          Select(0, kept, [](RankKey) { return 1ull; }, [&](unsigned long long) { return top_k; });
      if (top_k <= kMaxListed) return DrawFromList(kept, first);
    }
    if (request_.sampling.top_p < 1) {
      kept = Select(
          1, kept, [this](RankKey key) { return MassOf(key); },
          [this](unsigned long long all) { return WantedMass(all); });
    }
    Draw(kept, first);
  }

 private:
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

  // Each block overwrites what lies in its own range, which no other block reads.
  GEMMA_DEVICE void Suppress() const {
    if (p_.suppressed.count == 0) return;
    for (int i = static_cast<int>(threadIdx.x); i < p_.suppressed.count; i += kSampleThreads) {
      const int id = p_.suppressed.ids[i];
      if (begin_ <= id && id < end_) p_.logits[id] = -FLT_MAX;
    }
    __threadfence();
    __syncthreads();
  }

  // counts: fills the first histogram of top_k on the way.
  GEMMA_DEVICE RankKey FindLargest(bool counts) const {
    RankKey largest = 0;
    if (counts) {
      ClearHistogram();
      ForEachKey([&](RankKey key) {
        largest = key > largest ? key : largest;
        atomicAdd(&shared_.histogram[key >> (64 - kDigitBits)], 1ull);
      });
      __syncthreads();
      PublishHistogram(state_.histograms[0][0]);
    } else {
      ForEachKey([&](RankKey key) { largest = key > largest ? key : largest; });
    }
    largest = WarpLargest(largest);
    if (Lane() == 0) shared_.warps[WarpIndex()] = largest;
    __syncthreads();
    if (WarpIndex() == 0) {
      largest = WarpLargest(Lane() < kWarps ? shared_.warps[Lane()] : 0);
      if (Lane() == 0) atomicMax(&state_.largest, largest);
    }
    GridBarrier();
    return LoadFromL2(&state_.largest);
  }

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
    for (int w = 0; w < kWarps; ++w) {
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

  GEMMA_DEVICE void Draw(RankKey kept, RankKey first) const {
    // Thread i takes the ids
    // [begin + i * each, begin + (i + 1) * each), so that ids ascend with threads.
    const int each = (end_ - begin_ + kSampleThreads - 1) / kSampleThreads;
    const int from = begin_ + static_cast<int>(threadIdx.x) * each;
    const int to = from + each < end_ ? from + each : end_;
    Mass mine = 0;
    for (int id = from; id < to; ++id) mine += KeptMass(KeyAt(id), kept, first);
    const Mass before_in_block = ExclusiveSum(mine);
    if (threadIdx.x == 0) state_.block_mass[blockIdx.x] = shared_.all;
    GridBarrier();
    Mass before = before_in_block + MassOfBlocksBefore();
    const Mass target = Target(shared_.all);
    if (before <= target && target < before + mine) {
      for (int id = from; id < to; ++id) {
        before += KeptMass(KeyAt(id), kept, first);
        if (before > target) {
          *p_.token = id;
          break;
        }
      }
    }
    Clean();
  }

  // Of all blocks before this one; shared `all` gets that of all blocks.
  GEMMA_DEVICE Mass MassOfBlocksBefore() const {
    const Mass mine =
        threadIdx.x < gridDim.x ? LoadFromL2(&state_.block_mass[threadIdx.x]) : Mass{0};
    const Mass before = ExclusiveSum(mine);
    if (threadIdx.x == blockIdx.x) shared_.in_bin = before;
    __syncthreads();
    return shared_.in_bin;
  }

  // The draw, in [0, total).
  GEMMA_DEVICE Mass Target(Mass total) const {
    const double u = SamplingUniform(request_.sampling.seed, request_.position);
    const Mass target = static_cast<Mass>(u * static_cast<double>(total));
    return target < total ? target : total - 1;  // a total beyond 2^53 may have been rounded up
  }

  // ---- few ids: a list, and one block that compares all with all ----

  GEMMA_DEVICE void DrawFromList(RankKey kept, RankKey first) const {
    ForEachKey([&](RankKey key) {
      if (key < kept) return;
      const uint32_t place = atomicAdd(&state_.listed, 1u);
      if (place < kMaxListed) state_.list[place] = key;
    });
    GridBarrier();
    if (blockIdx.x == 0) DrawAlone(static_cast<int>(LoadFromL2(&state_.listed)), first);
    Clean();
  }

  GEMMA_DEVICE RankKey& ListedKey(int i) const { return shared_.histogram[i]; }
  GEMMA_DEVICE Mass& ListedMass(int i) const { return shared_.histogram[kMaxListed + i]; }

  // The mass of the listed ids for which comes_before(key) holds.
  template <typename Predicate>
  GEMMA_DEVICE Mass ListedMassOf(int count, const Predicate& comes_before) const {
    Mass sum = 0;
    for (int i = 0; i < count; ++i) sum += comes_before(ListedKey(i)) ? ListedMass(i) : 0;
    return sum;
  }

  GEMMA_DEVICE void DrawAlone(int count, RankKey first) const {
    constexpr int kEach = kMaxListed / kSampleThreads;
    const auto place = [](int i) { return i * kSampleThreads + static_cast<int>(threadIdx.x); };
    const auto any = [](RankKey) { return true; };
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kSampleThreads) {
      ListedKey(i) = LoadFromL2(&state_.list[i]);
      ListedMass(i) = MassOf(ListedKey(i));
    }
    __syncthreads();
    const bool has_top_p = request_.sampling.top_p < 1;
    const Mass wanted = has_top_p ? WantedMass(ListedMassOf(count, any)) : ~Mass{0};
    Mass kept[kEach] = {};
    for (int i = 0; i < kEach && place(i) < count; ++i) {
      const RankKey key = ListedKey(place(i));
      const Mass above = ListedMassOf(count, [&](RankKey other) { return other > key; });
      if (above < wanted) kept[i] = KeptMass(key, 0, first);
    }
    __syncthreads();
    for (int i = 0; i < kEach && place(i) < count; ++i) ListedMass(place(i)) = kept[i];
    __syncthreads();
    const Mass target = Target(ListedMassOf(count, any));
    for (int i = 0; i < kEach && place(i) < count; ++i) {
      const int id = IdOf(ListedKey(place(i)));
      const Mass before = ListedMassOf(count, [&](RankKey other) { return IdOf(other) < id; });
      if (before <= target && target < before + kept[i]) *p_.token = id;
    }
    __syncthreads();
  }

  GEMMA_DEVICE void Conclude(int id) const {
    if (blockIdx.x == 0 && threadIdx.x == 0) *p_.token = id;
    GridBarrier();  // all blocks have read `largest`
    Clean();
  }

  // After the last barrier nobody reads these.
  GEMMA_DEVICE void Clean() const {
    if (blockIdx.x == 0 && threadIdx.x == 0) state_.largest = 0, state_.listed = 0;
    unsigned long long* all = &state_.histograms[0][0][0];
    constexpr int kAll = 2 * kDigits * kDigitBins;
    for (int i = static_cast<int>(blockIdx.x) * kSampleThreads + static_cast<int>(threadIdx.x);
         i < kAll; i += static_cast<int>(gridDim.x) * kSampleThreads) {
      if (all[i] != 0) all[i] = 0;
    }
  }

  const SampleParams& p_;
  SampleState& state_;
  SampleShared& shared_;
  const SampleRequest request_;
  const int begin_;
  const int end_;
  float largest_ = 0;
};

__global__ void __launch_bounds__(kSampleThreads)
    SampleKernel(const __grid_constant__ SampleParams p) {
  GEMMA_SHARED_MEMORY(shared);
  WaitForPreviousKernel();
  Sampler(p, *reinterpret_cast<SampleShared*>(shared)).Run();
}

}  // namespace

cudaError_t LaunchSample(const SampleParams& params, const LaunchOptions& launch) {
  // Always as many blocks, few enough to run at once:
  // the barrier's counter goes up in steps of them.
  const LaunchShape shape{dim3(kSampleBlocks), kSampleThreads, sizeof(SampleShared), launch};
  return Launch(SampleKernel, shape, params);
}

}  // namespace gemma::cuda
