#include "cc/delegate/weight_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

constexpr uint64_t kAlignment = 64;  // bytes; a cache line, and the widest vector register

// Puts pieces where they stay.
class BlockSink final : public WeightSink {
 public:
  BlockSink(std::byte* block, std::vector<uint64_t> offsets)
      : block_(block), offsets_(std::move(offsets)) {}

  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    return block_ + offsets_[piece.index] + piece.offset;
  }

  absl::Status Accept(const WeightPiece&) override { return absl::OkStatus(); }

 private:
  std::byte* block_;
  std::vector<uint64_t> offsets_;  // of each weight in the block
};

}  // namespace

absl::StatusOr<const WeightStore::Entry*> WeightStore::FindEntry(const PlanWeight& weight) const {
  const auto found = entries_.find(weight.data_key);
  if (found == entries_.end()) return nullptr;
  const Entry& entry = found->second;
  if (entry.weight.SameData(weight)) return &entry;
  return absl::InvalidArgumentError(
      absl::StrCat("weight ", weight.name, ": its data ", weight.data_key,
                   " was loaded with another layout, shape or size, as ", entry.weight.name));
}

absl::StatusOr<std::vector<PlanWeight>> WeightStore::Missing(
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

absl::Status WeightStore::Load(std::span<const PlanWeight> weights, WeightSource& source) {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<PlanWeight> missing, Missing(weights));
  if (missing.empty()) return absl::OkStatus();
  std::vector<WeightRequest> requests;
  std::vector<uint64_t> offsets;
  uint64_t total = 0;
  for (const PlanWeight& weight : missing) {
    requests.push_back({weight.data_key, weight.bytes});
    offsets.push_back(total);
    GEMMA_ASSIGN_OR_RETURN(total, CheckedAdd(total, weight.bytes));
    GEMMA_ASSIGN_OR_RETURN(total, CheckedRoundUp(total, kAlignment));
  }
  GEMMA_ASSIGN_OR_RETURN(HostMemory block, HostMemory::Allocate(total, "weights"));
  BlockSink sink(block.data(), offsets);
  GEMMA_RETURN_IF_ERROR(source.Read(requests, sink));
  std::vector<Entry> loaded;
  for (size_t i = 0; i < missing.size(); ++i) {
    GEMMA_ASSIGN_OR_RETURN(
        const WeightView view,
        WeightView::Create(missing[i].shape, {block.data() + offsets[i], missing[i].bytes}));
    loaded.push_back({missing[i], view});
  }
  for (Entry& entry : loaded) entries_.emplace(entry.weight.data_key, std::move(entry));
  blocks_.push_back(std::move(block));
  bytes_ += total;
  return absl::OkStatus();
}

absl::StatusOr<WeightView> WeightStore::Find(const PlanWeight& weight) const {
  GEMMA_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(weight));
  if (entry != nullptr) return entry->view;
  return absl::NotFoundError(absl::StrCat("weight ", weight.name, " was not loaded"));
}

}  // namespace gemma
