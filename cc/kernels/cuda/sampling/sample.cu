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
#include "cc/kernels/cuda/sampling/sample_passes.h"

namespace gemma::cuda {
namespace {

class Sampler : public KeySelection {
 public:
  using KeySelection::KeySelection;

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
      largest = WarpLargest(Lane() < kSampleWarps ? shared_.warps[Lane()] : 0);
      if (Lane() == 0) atomicMax(&state_.largest, largest);
    }
    GridBarrier();
    return LoadFromL2(&state_.largest);
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
