#include "cc/executor/cuda/weight_memory.h"

#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/runtime/host_buffer.h"
#include "cc/kernels/cuda/runtime/wait.h"

namespace gemma {
namespace {

using cuda::ToStatus;

// Buffers of kMaxPieceBytes: 256 MiB of pinned memory at most. As many as the threads of a source
// fill and as many again that are being copied.
constexpr size_t kStages = 32;

class StagingSink final : public WeightSink {
 public:
  StagingSink(std::byte* block, std::vector<uint64_t> offsets, int device, cuda::Stream stream)
      : block_(block), offsets_(std::move(offsets)), device_(device), stream_(stream) {}
  // The buffers must not go while a copy reads them.
  ~StagingSink() override {
    cuda::WaitForStream(stream_, "cannot copy weights to the GPU").IgnoreError();
  }

  int max_reserved() const override { return kStages; }

  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    if (piece.size > kMaxPieceBytes) {
      return absl::InternalError(absl::StrCat("a piece of a weight has ", piece.size,
                                              " bytes, more than ", kMaxPieceBytes));
    }
    GEMMA_RETURN_IF_ERROR(UseDevice());
    GEMMA_ASSIGN_OR_RETURN(Stage * stage, TakeStage());
    GEMMA_RETURN_IF_ERROR(stage->copied.Wait());
    if (stage->buffer.bytes() == 0) {
      GEMMA_ASSIGN_OR_RETURN(stage->buffer, cuda::HostBuffer::Allocate(kMaxPieceBytes, "weights"));
    }
    auto* memory = static_cast<std::byte*>(stage->buffer.data());
    std::lock_guard lock(mutex_);
    reserved_[memory] = stage;
    return memory;
  }

  absl::Status Accept(const WeightPiece& piece, std::byte* memory) override {
    GEMMA_RETURN_IF_ERROR(UseDevice());
    GEMMA_ASSIGN_OR_RETURN(Stage * stage, TakeReserved(memory));
    GEMMA_RETURN_IF_ERROR(
        ToStatus(cudaMemcpyAsync(block_ + offsets_[piece.index] + piece.offset, memory, piece.size,
                                 cudaMemcpyHostToDevice, stream_),
                 "cannot copy weights to the GPU"));
    GEMMA_RETURN_IF_ERROR(stage->copied.Record(stream_));
    std::lock_guard lock(mutex_);
    copying_.push_back(stage);
    return absl::OkStatus();
  }

 private:
  struct Stage {
    cuda::HostBuffer buffer;
    cuda::Event copied;
  };

  // Events belong to the calling thread's device, which is not always this one.
  absl::Status UseDevice() const { return ToStatus(cudaSetDevice(device_), "cannot use the GPU"); }

  // A new one, or when all are in use, the one that has been copying for the longest time. Does not
  // wait for other threads: with fewer than kStages reserved, there is one.
  absl::StatusOr<Stage*> TakeStage() {
    std::lock_guard lock(mutex_);
    if (used_ < kStages) return &stages_[used_++];
    if (copying_.empty()) {
      return absl::InternalError(
          absl::StrCat("more than ", kStages, " pieces of weights were reserved at a time"));
    }
    Stage* stage = copying_.front();
    copying_.pop_front();
    return stage;
  }

  absl::StatusOr<Stage*> TakeReserved(std::byte* memory) {
    std::lock_guard lock(mutex_);
    const auto found = reserved_.find(memory);
    if (found == reserved_.end()) {
      return absl::InternalError("a piece of a weight was accepted that was not reserved");
    }
    Stage* stage = found->second;
    reserved_.erase(found);
    return stage;
  }

  std::byte* block_;
  const std::vector<uint64_t> offsets_;  // of each weight in the block
  const int device_;
  const cuda::Stream stream_;
  std::mutex mutex_;  // guards what follows, except what is in a stage that somebody holds
  std::array<Stage, kStages> stages_;
  size_t used_ = 0;             // the others have no buffer yet
  std::deque<Stage*> copying_;  // oldest first
  std::map<std::byte*, Stage*> reserved_;
};

class DeviceBlock final : public WeightBlock {
 public:
  DeviceBlock(cuda::DeviceBuffer buffer, cuda::Stream stream)
      : buffer_(std::move(buffer)), stream_(stream) {}
  std::byte* data() const override { return static_cast<std::byte*>(buffer_.data()); }
  absl::StatusOr<std::unique_ptr<WeightSink>> MakeSink(std::vector<uint64_t> offsets) override {
    int device = 0;
    GEMMA_RETURN_IF_ERROR(ToStatus(cudaGetDevice(&device), "cannot use the GPU"));
    return std::make_unique<StagingSink>(data(), std::move(offsets), device, stream_);
  }

 private:
  cuda::DeviceBuffer buffer_;
  const cuda::Stream stream_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightBlock>> CudaWeightMemory::Take(uint64_t bytes) {
  GEMMA_ASSIGN_OR_RETURN(cuda::DeviceBuffer buffer, cuda::DeviceBuffer::Allocate(bytes, "weights"));
  return std::make_unique<DeviceBlock>(std::move(buffer), stream_);
}

absl::Status CudaWeightMemory::Finish() {
  return cuda::WaitForStream(stream_, "cannot copy weights to the GPU");
}

}  // namespace gemma
