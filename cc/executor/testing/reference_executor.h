// Runs plans with cc/kernels' references: one thread, every value in a buffer of its own that holds
// NaN until a step of the call writes it. What the CPU and CUDA executors are compared with.
#ifndef CC_EXECUTOR_TESTING_REFERENCE_EXECUTOR_H_
#define CC_EXECUTOR_TESTING_REFERENCE_EXECUTOR_H_

#include <memory>
#include <string>
#include <vector>

#include "cc/executor/executor.h"
#include "cc/weights/loaded_weights.h"

namespace gemma {

class ReferenceExecutor final : public Executor {
 public:
  std::string Description() const override { return "reference"; }
  absl::StatusOr<ExecutorMemory> EstimateMemory(std::span<const Plan* const>,
                                                const std::vector<PlanCache>&) const override {
    return absl::UnimplementedError("the reference executor plans no memory");
  }
  absl::Status LoadWeights(std::span<const PlanWeight> weights, WeightSource& source) override {
    return weights_.Load(weights, source);
  }
  absl::StatusOr<std::unique_ptr<PreparedPlan>> Prepare(const Plan& plan,
                                                        std::vector<size_t> cache_slots) override;
  absl::StatusOr<std::unique_ptr<SessionState>> NewSession(const std::vector<PlanCache>& caches,
                                                           int64_t max_context) override;
  uint64_t WeightBytes() const override { return weights_.bytes(); }
  uint64_t ActivationBytes() const override { return 0; }

  // The logits that the last call's Sample step drew from; empty if it did not come to one.
  const std::vector<float>& logits() const { return logits_; }

 private:
  LoadedWeights weights_;
  std::vector<float> logits_;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_TESTING_REFERENCE_EXECUTOR_H_
