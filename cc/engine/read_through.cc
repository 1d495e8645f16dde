#include "cc/engine/read_through.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/weights/loaded_weights.h"
#include "cc/weights/weight_memory.h"

namespace gemma {
namespace {

constexpr int kMaxReserved = 16;

// Gives the same few pieces of memory out again and again.
class DiscardingSink final : public WeightSink {
 public:
  int max_reserved() const override { return kMaxReserved; }

  absl::StatusOr<std::byte*> Reserve(const WeightPiece&) override {
    std::lock_guard lock(mutex_);
    if (free_.empty()) {
      pieces_.push_back(std::make_unique<std::byte[]>(kMaxPieceBytes));
      return pieces_.back().get();
    }
    std::byte* const piece = free_.back();
    free_.pop_back();
    return piece;
  }

  absl::Status Accept(const WeightPiece&, std::byte* memory) override {
    std::lock_guard lock(mutex_);
    free_.push_back(memory);
    return absl::OkStatus();
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> pieces_;
  std::vector<std::byte*> free_;
};

class DiscardingBlock final : public WeightBlock {
 public:
  // An address that offsets may be added to; nobody looks at what is not there.
  std::byte* data() const override {
    static std::byte nothing;
    return &nothing;
  }
  absl::StatusOr<std::unique_ptr<WeightSink>> MakeSink(std::vector<uint64_t>) override {
    return std::make_unique<DiscardingSink>();
  }
};

class DiscardingMemory final : public WeightMemory {
 public:
  absl::StatusOr<std::unique_ptr<WeightBlock>> Take(uint64_t) override {
    return std::make_unique<DiscardingBlock>();
  }
  absl::Status Finish() override { return absl::OkStatus(); }
};

}  // namespace

absl::Status ReadThrough(std::span<const PlanWeight> weights, WeightSource& source) {
  return LoadedWeights(std::make_unique<DiscardingMemory>()).Load(weights, source);
}

}  // namespace gemma
