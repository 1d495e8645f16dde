// A .pte program in ExecuTorch's runtime, with its methods' tensors (docs/formats.md, "Methods") as
// C++ arguments.
//
// One call at a time; the engine sees to that. Nothing is allocated during a call.
#ifndef CC_ENGINE_EXECUTORCH_PROGRAM_H_
#define CC_ENGINE_EXECUTORCH_PROGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/kernels/sampling_params.h"
#include "cc/plan/plan.h"

namespace gemma {

// Starts ExecuTorch's runtime and registers our delegate; once a process, however often it is
// called. ExecuTorch's log goes into error messages instead of to stderr.
absl::Status StartExecuTorch();

// The results of one call of score; the memory is the program's, until its next call.
struct ScoreOutputs {
  std::span<const float> logprobs;      // [tokens]; NaN where the target was -1
  std::span<const int64_t> top_ids;     // [tokens, top]
  std::span<const float> top_logprobs;  // [tokens, top]
};

class ExecuTorchProgram {
 public:
  // `bytes`: a file that CheckProgram has accepted, aligned to 16; it must outlive the result.
  static absl::StatusOr<std::unique_ptr<ExecuTorchProgram>> Load(std::span<const std::byte> bytes);
  ~ExecuTorchProgram();

  ExecuTorchProgram(const ExecuTorchProgram&) = delete;
  ExecuTorchProgram& operator=(const ExecuTorchProgram&) = delete;

  // Makes a method ready; a ScopedLoad (gemma_delegate.h) says to which model it belongs.
  absl::Status LoadMethod(PlanMethod method);

  // A call of prefill or decode, for the session that a ScopedSession has bound. The drawn token,
  // -1 when `emit` is false.
  absl::StatusOr<int64_t> Generate(PlanMethod method, std::span<const int64_t> tokens,
                                   int64_t start, bool emit, const SamplingParams& sampling);

  // A call of score; `targets` is as long as `tokens`.
  absl::StatusOr<ScoreOutputs> Score(std::span<const int64_t> tokens, int64_t start,
                                     std::span<const int64_t> targets);

 private:
  struct Runtime;  // keeps ExecuTorch's headers out of ours
  struct LoadedMethod;

  explicit ExecuTorchProgram(std::unique_ptr<Runtime> runtime);

  std::unique_ptr<Runtime> runtime_;
  std::array<std::unique_ptr<LoadedMethod>, kPlanMethods> methods_;
};

}  // namespace gemma

#endif  // CC_ENGINE_EXECUTORCH_PROGRAM_H_
