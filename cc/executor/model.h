// One loaded model: the checked plans of its methods,
// the caches that its sessions need, and the executor that holds its weights.
// All methods share it; sessions are made from it and used with it alone.
//
//   GEMMA_ASSIGN_OR_RETURN(auto executor, CpuExecutor::Create({}));
//   Model model(std::move(executor));
//   for (...) GEMMA_RETURN_IF_ERROR(model.AddPlan(plan));
//   GEMMA_RETURN_IF_ERROR(model.Load(weights));
//   GEMMA_ASSIGN_OR_RETURN(auto session, model.NewSession());
//   GEMMA_RETURN_IF_ERROR(model.Run(PlanMethod::kPrefill, *session, call, results));
#ifndef CC_EXECUTOR_MODEL_H_
#define CC_EXECUTOR_MODEL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/executor/executor.h"
#include "cc/executor/session_state.h"
#include "cc/plan/call.h"
#include "cc/plan/plan.h"
#include "cc/weights/weight_source.h"

namespace gemma {

class Model {
 public:
  explicit Model(std::unique_ptr<Executor> executor) : executor_(std::move(executor)) {}

  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Before Load. Refuses a second plan of the same method, and one that disagrees with an earlier
  // one about the model, the vocabulary, the context, a cache or a weight.
  absl::Status AddPlan(Plan plan);

  // What Load and NewSession will take; after the last AddPlan.
  absl::StatusOr<ExecutorMemory> EstimateMemory() const;
  std::vector<PlanWeight> weights() const;  // of all plans

  // Loads all plans' weights in one go and prepares the plans.
  absl::Status Load(WeightSource& source);

  const Plan* FindPlan(PlanMethod method) const;  // null when the model has no such method
  const std::vector<PlanCache>& caches() const { return caches_; }
  const Executor& executor() const { return *executor_; }

  // FailedPrecondition before Load.
  absl::StatusOr<std::unique_ptr<SessionState>> NewSession() const;

  // Checks the call against plan and session, then runs it. The session must come from this model's
  // NewSession.
  absl::Status Run(PlanMethod method, SessionState& session, const Call& call,
                   const CallResults& results) const;

  absl::StatusOr<DeviceFigures> MeasureDevice() const { return executor_->Measure(); }

  // See PreparedPlan::Profile; of decode where there is one token, else of prefill.
  absl::StatusOr<std::vector<StepTime>> Profile(SessionState& session, int64_t start,
                                                int64_t tokens) const;

 private:
  struct Method {
    std::unique_ptr<const Plan> plan;
    std::unique_ptr<PreparedPlan> prepared;
  };

  absl::Status CheckAgreement(const Plan& plan) const;
  std::vector<size_t> CacheSlots(const Plan& plan) const;

  std::unique_ptr<Executor> executor_;
  std::array<Method, kPlanMethods> methods_;
  std::vector<PlanCache> caches_;  // of all plans, by first appearance
  bool loaded_ = false;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_MODEL_H_
