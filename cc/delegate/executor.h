// What runs plans: an executor owns a device's memory for one model (weights, activations) and
// prepares each plan once; a prepared plan then runs calls without allocating. cpu_executor.h is
// the executor of every machine, fake_executor.h the one of tests.
//
// Whoever calls Run has checked the call (call.h); executors rely on it.
#ifndef CC_DELEGATE_EXECUTOR_H_
#define CC_DELEGATE_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/delegate/call.h"
#include "cc/delegate/plan.h"
#include "cc/delegate/session_state.h"
#include "cc/delegate/weight_source.h"

namespace gemma {

class PreparedPlan {
 public:
  virtual ~PreparedPlan() = default;
  // Runs the plan's steps over call.tokens and fills `results`. `session` comes from the same
  // executor's NewSession. Cancelled when call.cancelled became true on the way; then, as after any
  // error, `results` is unspecified.
  virtual absl::Status Run(SessionState& session, const Call& call, const CallResults& results) = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // For people: "CPU (AVX-512, 2 threads)".
  virtual std::string Description() const = 0;

  // Brings the weights to the device, each once. After an error the executor is as it was before.
  virtual absl::Status LoadWeights(std::span<const PlanWeight> weights, WeightSource& source) = 0;

  // Takes memory for the plan's activations and resolves its weights, which are loaded already.
  // `cache_slots` has, for every cache of the plan, its index among the session's caches. The plan
  // must outlive the result.
  virtual absl::StatusOr<std::unique_ptr<PreparedPlan>> Prepare(
      const Plan& plan, std::vector<size_t> cache_slots) = 0;

  virtual absl::StatusOr<std::unique_ptr<SessionState>> NewSession(
      const std::vector<PlanCache>& caches, int64_t max_context) = 0;

  virtual uint64_t WeightBytes() const = 0;      // loaded
  virtual uint64_t ActivationBytes() const = 0;  // taken for the plans prepared so far
};

}  // namespace gemma

#endif  // CC_DELEGATE_EXECUTOR_H_
