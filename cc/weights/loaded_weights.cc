#include "cc/weights/loaded_weights.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/weights/host_weight_memory.h"

namespace gemma {
namespace {

// Bytes; what the widest loads of any kernel like.
constexpr uint64_t kAlignment = 256;

struct Layout {
  std::vector<WeightRequest> requests;
  std::vector<uint64_t> offsets;  // by request
  uint64_t bytes = 0;
};

absl::StatusOr<Layout> LayOut(std::span<const PlanWeight> weights) {
  Layout layout;
  for (const PlanWeight& weight : weights) {
    layout.requests.push_back({weight.data_key, weight.bytes});
    layout.offsets.push_back(layout.bytes);
    GEMMA_ASSIGN_OR_RETURN(layout.bytes, CheckedAdd(layout.bytes, weight.bytes));
    GEMMA_ASSIGN_OR_RETURN(layout.bytes, CheckedRoundUp(layout.bytes, kAlignment));
  }
  // Kernels may read a little past a plane's end (cc/kernels/cuda/device/matrix.h).
  GEMMA_ASSIGN_OR_RETURN(layout.bytes, CheckedAdd(layout.bytes, kAlignment));
  return layout;
}

}  // namespace

LoadedWeights::LoadedWeights() : memory_(std::make_unique<HostWeightMemory>()) {}

absl::StatusOr<const LoadedWeights::Entry*> LoadedWeights::FindEntry(
    const PlanWeight& weight) const {
  const auto found = entries_.find(weight.data_key);
  if (found == entries_.end()) return nullptr;
  const Entry& entry = found->second;
  if (entry.weight.SameData(weight)) return &entry;
  return absl::InvalidArgumentError(
      absl::StrCat("weight ", weight.name, ": its data ", weight.data_key,
                   " was loaded with another layout, shape or size, as ", entry.weight.name));
}

absl::StatusOr<std::vector<PlanWeight>> LoadedWeights::Missing(
    std::span<const PlanWeight> weights) const {
  std::map<std::string, const PlanWeight*> missing;
  for (const PlanWeight& weight : weights) {
    GEMMA_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(weight));
    if (entry == nullptr) missing.emplace(weight.data_key, &weight);
  }
  std::vector<PlanWeight> result;
  for (const PlanWeight& weight : weights) {
    if (auto found = missing.find(weight.data_key);
        found != missing.end() && found->second == &weight) {
      result.push_back(weight);
    }
  }
  return result;
}

absl::StatusOr<uint64_t> LoadedWeights::Bytes(std::span<const PlanWeight> weights) {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<PlanWeight> all, LoadedWeights().Missing(weights));
  GEMMA_ASSIGN_OR_RETURN(const Layout layout, LayOut(all));
  return all.empty() ? 0 : layout.bytes;
}

absl::Status LoadedWeights::Load(std::span<const PlanWeight> weights, WeightSource& source) {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<PlanWeight> missing, Missing(weights));
  if (missing.empty()) return absl::OkStatus();
  GEMMA_ASSIGN_OR_RETURN(const Layout layout, LayOut(missing));
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<WeightBlock> block, memory_->Take(layout.bytes));
  {
    GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<WeightSink> sink, block->MakeSink(layout.offsets));
    GEMMA_RETURN_IF_ERROR(source.Read(layout.requests, *sink));
  }
  GEMMA_RETURN_IF_ERROR(memory_->Finish());
  std::vector<Entry> loaded;
  for (size_t i = 0; i < missing.size(); ++i) {
    GEMMA_ASSIGN_OR_RETURN(const WeightView view,
                           WeightView::Create(missing[i].shape, {block->data() + layout.offsets[i],
                                                                 missing[i].bytes}));
    loaded.push_back({missing[i], view});
  }
  for (Entry& entry : loaded) entries_.emplace(entry.weight.data_key, std::move(entry));
  blocks_.push_back(std::move(block));
  bytes_ += layout.bytes;
  return absl::OkStatus();
}

absl::StatusOr<WeightView> LoadedWeights::Find(const PlanWeight& weight) const {
  GEMMA_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(weight));
  if (entry != nullptr) return entry->view;
  return absl::NotFoundError(absl::StrCat("weight ", weight.name, " was not loaded"));
}

}  // namespace gemma
