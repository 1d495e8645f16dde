#include "cc/weights/host_weight_memory.h"

#include <limits>
#include <utility>

#include "cc/base/host_memory.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

// Puts pieces where they stay.
class BlockSink final : public WeightSink {
 public:
  BlockSink(std::byte* block, std::vector<uint64_t> offsets)
      : block_(block), offsets_(std::move(offsets)) {}

  int max_reserved() const override { return std::numeric_limits<int>::max(); }

  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    return block_ + offsets_[piece.index] + piece.offset;
  }

  absl::Status Accept(const WeightPiece&, std::byte*) override { return absl::OkStatus(); }

 private:
  std::byte* block_;
  std::vector<uint64_t> offsets_;  // of each weight in the block
};

class HostBlock final : public WeightBlock {
 public:
  explicit HostBlock(HostMemory memory) : memory_(std::move(memory)) {}
  std::byte* data() const override { return memory_.data(); }
  absl::StatusOr<std::unique_ptr<WeightSink>> MakeSink(std::vector<uint64_t> offsets) override {
    return std::make_unique<BlockSink>(data(), std::move(offsets));
  }

 private:
  HostMemory memory_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightBlock>> HostWeightMemory::Take(uint64_t bytes) {
  GEMMA_ASSIGN_OR_RETURN(HostMemory memory, HostMemory::Allocate(bytes, "weights"));
  return std::make_unique<HostBlock>(std::move(memory));
}

}  // namespace gemma
