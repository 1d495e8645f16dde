#include "cc/delegate/cuda_weight_memory.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/host_buffer.h"

namespace gemma {
namespace {

using cuda::ToStatus;

// Pieces on their way: two that the source works on, two that are being copied.
constexpr size_t kStages = 4;

class StagingSink final : public WeightSink {
 public:
  StagingSink(std::byte* block, std::vector<uint64_t> offsets, cuda::Stream stream)
      : block_(block), offsets_(std::move(offsets)), stream_(stream) {}
  // The buffers must not go while a copy reads them.
  ~StagingSink() override { cudaStreamSynchronize(stream_); }

  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    Stage& stage = stages_[reserved_++ % kStages];
    GEMMA_RETURN_IF_ERROR(stage.copied.Wait());
    if (stage.buffer.bytes() < piece.size) {
      GEMMA_ASSIGN_OR_RETURN(stage.buffer, cuda::HostBuffer::Allocate(piece.size, "weights"));
    }
    return static_cast<std::byte*>(stage.buffer.data());
  }

  absl::Status Accept(const WeightPiece& piece) override {
    Stage& stage = stages_[accepted_++ % kStages];
    GEMMA_RETURN_IF_ERROR(
        ToStatus(cudaMemcpyAsync(block_ + offsets_[piece.index] + piece.offset, stage.buffer.data(),
                                 piece.size, cudaMemcpyHostToDevice, stream_),
                 "cannot copy weights to the GPU"));
    return stage.copied.Record(stream_);
  }

 private:
  struct Stage {
    cuda::HostBuffer buffer;
    cuda::Event copied;
  };

  std::byte* block_;
  const std::vector<uint64_t> offsets_;  // of each weight in the block
  const cuda::Stream stream_;
  std::array<Stage, kStages> stages_;
  size_t reserved_ = 0;
  size_t accepted_ = 0;
};

class DeviceBlock final : public WeightBlock {
 public:
  DeviceBlock(cuda::DeviceBuffer buffer, cuda::Stream stream)
      : buffer_(std::move(buffer)), stream_(stream) {}
  std::byte* data() const override { return static_cast<std::byte*>(buffer_.data()); }
  absl::StatusOr<std::unique_ptr<WeightSink>> MakeSink(std::vector<uint64_t> offsets) override {
    return std::make_unique<StagingSink>(data(), std::move(offsets), stream_);
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
  return ToStatus(cudaStreamSynchronize(stream_), "cannot copy weights to the GPU");
}

}  // namespace gemma
