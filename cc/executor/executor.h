// What runs plans: an executor owns a device's memory for one model (weights, activations) and
// prepares each plan once; a prepared plan then runs calls without allocating. cpu_executor.h is
// the executor of every machine, fake_executor.h the one of tests.
//
// Whoever calls Run has checked the call (call.h); executors rely on it.
#ifndef CC_EXECUTOR_EXECUTOR_H_
#define CC_EXECUTOR_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/executor/device_figures.h"
#include "cc/executor/session_state.h"
#include "cc/executor/step_time.h"
#include "cc/plan/call.h"
#include "cc/plan/plan.h"
#include "cc/weights/weight_source.h"

namespace gemma {

// What a model takes of the executor's memory, in bytes.
struct ExecutorMemory {
  uint64_t weights = 0;
  uint64_t activations = 0;  // for all sessions together, as the next
  uint64_t workspace = 0;    // the kernels' own
  uint64_t session = 0;      // KV cache of one session (an upper bound until weights load)
  uint64_t free = 0;         // what the device has left now

  uint64_t model() const { return weights + activations + workspace; }
};

class PreparedPlan {
 public:
  virtual ~PreparedPlan() = default;
  // Runs the plan's steps over call.tokens and fills `results`. `session` comes from the same
  // executor's NewSession. Cancelled when call.cancelled became true on the way; then, as after any
  // error, `results` is unspecified.
  virtual absl::Status Run(SessionState& session, const Call& call, const CallResults& results) = 0;

  // Runs every kind of step by itself, with `tokens` at position `start` and on, and takes the
  // time; what the session holds from `start` on is lost. Unimplemented where an executor cannot.
  virtual absl::StatusOr<std::vector<StepTime>> Profile(SessionState&, int64_t /*start*/,
                                                        int64_t /*tokens*/) {
    return absl::UnimplementedError("this device has no profile of its steps");
  }
};

class Executor {
 public:
  virtual ~Executor() = default;

  // For people: "CPU (AVX-512, 2 threads)".
  virtual std::string Description() const = 0;

  // What the plans will take, before anything is loaded or prepared. `caches`: of all plans.
  virtual absl::StatusOr<ExecutorMemory> EstimateMemory(
      std::span<const Plan* const> plans, const std::vector<PlanCache>& caches) const = 0;

  // Brings the weights to the device, each once. After an error the executor is as it was before.
  virtual absl::Status LoadWeights(std::span<const PlanWeight> weights, WeightSource& source) = 0;

  // Takes memory for the plan's activations and resolves its weights, which are loaded already.
  // `cache_slots` has, for every cache of the plan, its index among the session's caches. The plan
  // must outlive the result.
  virtual absl::StatusOr<std::unique_ptr<PreparedPlan>> Prepare(
      const Plan& plan, std::vector<size_t> cache_slots) = 0;

  virtual absl::StatusOr<std::unique_ptr<SessionState>> NewSession(
      const std::vector<PlanCache>& caches, int64_t max_context) = 0;

  // Unimplemented where there is nothing to measure; ResourceExhausted without room for it.
  virtual absl::StatusOr<DeviceFigures> Measure() {
    return absl::UnimplementedError("this device measures nothing");
  }

  virtual uint64_t WeightBytes() const = 0;      // loaded
  virtual uint64_t ActivationBytes() const = 0;  // taken for the plans prepared so far
};

}  // namespace gemma

#endif  // CC_EXECUTOR_EXECUTOR_H_
