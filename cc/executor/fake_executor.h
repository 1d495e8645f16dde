// An executor for tests of what stands above executors: it computes nothing, remembers the calls,
// and returns tokens that the test has chosen.
#ifndef CC_EXECUTOR_FAKE_EXECUTOR_H_
#define CC_EXECUTOR_FAKE_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/executor/executor.h"

namespace gemma {

class FakeExecutor final : public Executor {
 public:
  struct RecordedCall {
    PlanMethod method = PlanMethod::kPrefill;
    std::vector<int64_t> tokens;
    int64_t start = 0;
    bool emit = true;
    SamplingParams sampling;
    uint64_t drawn_position = 0;
    const SessionState* session = nullptr;
  };

  // What Run does next: the token that it draws, or an error. After the last one, token 0.
  std::vector<absl::StatusOr<int64_t>> script;
  std::vector<RecordedCall> calls;
  std::vector<PlanWeight> loaded;
  std::vector<std::vector<size_t>> cache_slots;  // of each Prepare

  std::string Description() const override { return "fake"; }

  absl::StatusOr<ExecutorMemory> EstimateMemory(std::span<const Plan* const>,
                                                const std::vector<PlanCache>&) const override {
    return ExecutorMemory{};
  }

  absl::Status LoadWeights(std::span<const PlanWeight> weights, WeightSource&) override {
    loaded.assign(weights.begin(), weights.end());
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<PreparedPlan>> Prepare(const Plan& plan,
                                                        std::vector<size_t> slots) override {
    cache_slots.push_back(std::move(slots));
    return std::make_unique<FakePlan>(*this, plan.method);
  }

  absl::StatusOr<std::unique_ptr<SessionState>> NewSession(const std::vector<PlanCache>& caches,
                                                           int64_t max_context) override {
    return std::make_unique<SessionState>(caches, max_context);
  }

  uint64_t WeightBytes() const override { return 0; }
  uint64_t ActivationBytes() const override { return 0; }

 private:
  class FakePlan final : public PreparedPlan {
   public:
    FakePlan(FakeExecutor& executor, PlanMethod method) : executor_(executor), method_(method) {}

    absl::Status Run(SessionState& session, const Call& call, const CallResults& results) override {
      const size_t turn = executor_.calls.size();
      executor_.calls.push_back({method_,
                                 {call.tokens.begin(), call.tokens.end()},
                                 call.start,
                                 call.emit,
                                 call.sampling,
                                 DrawnPosition(call),
                                 &session});
      if (turn < executor_.script.size() && !executor_.script[turn].ok()) {
        return executor_.script[turn].status();
      }
      if (results.token != nullptr) {
        const int64_t drawn = turn < executor_.script.size() ? *executor_.script[turn] : 0;
        *results.token = call.emit ? drawn : -1;
      }
      return absl::OkStatus();
    }

   private:
    FakeExecutor& executor_;
    const PlanMethod method_;
  };
};

}  // namespace gemma

#endif  // CC_EXECUTOR_FAKE_EXECUTOR_H_
