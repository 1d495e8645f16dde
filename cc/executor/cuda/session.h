// A session whose keys and values lie in GPU memory, in float16, keys in pairs where the plan names
// float32 (CacheForm::kPairs), with what a decode step needs from the step before it, and the
// graphs of its calls of few tokens.
#ifndef CC_EXECUTOR_CUDA_SESSION_H_
#define CC_EXECUTOR_CUDA_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/executor/session_state.h"
#include "cc/kernels/cuda/attention/params.h"
#include "cc/kernels/cuda/runtime/device.h"
#include "cc/kernels/cuda/runtime/graph.h"
#include "cc/kernels/cuda/runtime/host_buffer.h"
#include "cc/kernels/cuda/sampling/step.h"
#include "cc/plan/plan.h"

namespace gemma {

class CudaSession final : public SessionState {
 public:
  // `rotated`: by cache, see DeviceCache. ResourceExhausted with the number of bytes.
  static absl::StatusOr<std::unique_ptr<CudaSession>> Create(const std::vector<PlanCache>& caches,
                                                             const std::vector<int>& rotated,
                                                             int64_t max_context);

  // The GPU memory that Create takes.
  static absl::StatusOr<uint64_t> Bytes(const std::vector<PlanCache>& caches,
                                        const std::vector<int>& rotated);

  // A cache of the plan with its shape, without memory.
  static cuda::DeviceCache CacheShape(const PlanCache& cache, int rotated);

  uint64_t bytes() const override { return memory_.bytes(); }
  const cuda::DeviceCache& cache(size_t slot) const { return device_caches_[slot]; }

  // The state in GPU memory that a step reads and leaves for the next one.
  cuda::StepState* step() const { return step_; }

  // Makes the state in GPU memory `wanted`: copies it there unless the last step left it so.
  absl::Status SetStep(const cuda::StepState& wanted, cuda::Stream stream);
  // Part of a step, at its end: brings the state to the host, where step_result() has it once the
  // stream is done.
  absl::Status CopyStepToHost(cuda::Stream stream);
  const cuda::StepState& step_result() const { return host_steps()[1]; }
  // The state in GPU memory is step_result(), or (false) not known.
  void SetStepKnown(bool known);

  // The graph of a plan's calls of so many tokens; null when there is none yet.
  const cuda::Graph* FindGraph(const void* plan, int64_t tokens) const;
  const cuda::Graph& AddGraph(const void* plan, int64_t tokens, cuda::Graph graph);

 private:
  CudaSession(const std::vector<PlanCache>& caches, int64_t max_context)
      : SessionState(caches, max_context) {}
  cuda::StepState* host_steps() const { return static_cast<cuda::StepState*>(host_.data()); }

  cuda::DeviceBuffer memory_;
  std::vector<cuda::DeviceCache> device_caches_;  // as caches()
  cuda::StepState* step_ = nullptr;
  cuda::HostBuffer host_;  // two states: on their way to the GPU, and from it
  bool step_known_ = false;
  cuda::StepState known_step_ = {};                                // in GPU memory
  std::map<std::pair<const void*, int64_t>, cuda::Graph> graphs_;  // by plan and tokens
};

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_SESSION_H_
