// Launches the operations of a FusedPlan: finds the memory of every operand.
#ifndef CC_EXECUTOR_CUDA_LAUNCHER_H_
#define CC_EXECUTOR_CUDA_LAUNCHER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cc/executor/cuda/fusion.h"
#include "cc/executor/cuda/session.h"
#include "cc/kernels/cuda/attention/attention.h"
#include "cc/kernels/cuda/pointwise/pointwise.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/runtime/operands.h"
#include "cc/kernels/cuda/sampling/params.h"
#include "cc/kernels/weight_layout.h"

namespace gemma {

// GPU memory that calls share beside activations. All null where a method does without.
struct CudaCallBuffers {
  int64_t* ids = nullptr;         // [max_tokens]
  int64_t* targets = nullptr;     // [max_tokens], of score, as all that follows
  float* logits = nullptr;        // [kCudaScoreRows, vocab]
  float* logprobs = nullptr;      // [max_tokens]
  int64_t* top_ids = nullptr;     // [max_tokens, top]
  float* top_logprobs = nullptr;  // [max_tokens, top]
  cuda::SuppressedIds suppressed = {};
};

// Score computes its logits for this many tokens at a time.
inline constexpr int64_t kCudaScoreRows = 64;

class CudaLauncher {
 public:
  struct Model {
    const std::vector<WeightView>& weights;  // by weight of the plan, in GPU memory
    const std::vector<size_t>& cache_slots;  // by cache of the plan
    std::byte* activations = nullptr;
    CudaCallBuffers buffers;
  };

  // A call of `tokens` tokens; session.step() says on the GPU where it begins.
  CudaLauncher(const FusedPlan& fused, const Model& model, const CudaSession& session,
               const cuda::Context& context, int64_t tokens)
      : fused_(fused), model_(model), session_(session), context_(context), tokens_(tokens) {}

  // `step` is one of the fused plan's. `next`: the one that is launched after it, whose weights or
  // cache it brings near meanwhile; null where there is none.
  absl::Status Launch(const FusedStep& step, const FusedStep* next) const;

  // The logits [vocab] that the plan's last step draws from, in GPU memory, where they stay until
  // the next call; null for a plan that draws nothing.
  const float* DrawnLogits() const;

 private:
  absl::Status Run(const CudaEmbed& op, const cuda::Prefetch& prefetch) const;
  absl::Status Run(const CudaNorm& op, const cuda::Prefetch& prefetch) const;
  absl::Status Run(const CudaLinear& op, const cuda::Prefetch& prefetch) const;
  absl::Status Run(const CudaAttention& op, const cuda::Prefetch& prefetch) const;
  absl::Status Run(const CudaPointwise& op, const cuda::Prefetch& prefetch) const;
  absl::Status Run(const CudaSample& op, const cuda::Prefetch& prefetch) const;
  absl::Status Run(const CudaScore& op, const cuda::Prefetch& prefetch) const;

  cuda::Prefetch PrefetchFor(const FusedStep& next) const;

  void* Address(const CudaOperand& operand) const;
  float* Floats(const CudaOperand& operand) const { return static_cast<float*>(Address(operand)); }
  uint16_t* Halves(const CudaOperand& operand) const {
    return static_cast<uint16_t*>(Address(operand));
  }
  cuda::Activations Get(const CudaOperand& operand) const;
  int64_t Rows(const CudaOperand& operand) const { return fused_.Rows(operand, tokens_); }
  int64_t Columns(const CudaOperand& operand) const {
    return fused_.buffers[operand.buffer].columns;
  }
  const WeightView& Weight(Index index) const { return model_.weights[index]; }
  const float* Vector(Index index) const;

  // Without what is prefetched; a product of `rows` tokens without its norm, too.
  cuda::Product Product(const CudaLinear& op, int64_t rows) const;
  cuda::Attention Attention(const CudaAttention& op) const;
  cuda::Number NumberOf(const CudaOperand& operand) const {
    return fused_.buffers[operand.buffer].number;
  }

  const FusedPlan& fused_;
  const Model& model_;
  const CudaSession& session_;
  const cuda::Context& context_;
  const int64_t tokens_;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_LAUNCHER_H_
