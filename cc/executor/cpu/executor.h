// Runs plans on the CPU: one parallel region a call, with barriers only where a step depends on the
// ones before it. Nothing is allocated during a call.
#ifndef CC_EXECUTOR_CPU_EXECUTOR_H_
#define CC_EXECUTOR_CPU_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/base/host_memory.h"
#include "cc/executor/executor.h"
#include "cc/kernels/cpu/kernels.h"
#include "cc/kernels/cpu/thread_pool.h"
#include "cc/weights/loaded_weights.h"

namespace gemma {

class CpuExecutor final : public Executor {
 public:
  struct Options {
    int threads = 0;                           // 0: AvailableCpus()
    const cpu::Kernels* kernels = nullptr;     // null: BestKernels()
    std::vector<int32_t> suppressed_ids = {};  // never drawn
  };
  static absl::StatusOr<std::unique_ptr<CpuExecutor>> Create(const Options& options);

  std::string Description() const override;
  absl::StatusOr<ExecutorMemory> EstimateMemory(
      std::span<const Plan* const> plans, const std::vector<PlanCache>& caches) const override;
  absl::Status LoadWeights(std::span<const PlanWeight> weights, WeightSource& source) override;
  absl::StatusOr<std::unique_ptr<PreparedPlan>> Prepare(const Plan& plan,
                                                        std::vector<size_t> cache_slots) override;
  absl::StatusOr<std::unique_ptr<SessionState>> NewSession(const std::vector<PlanCache>& caches,
                                                           int64_t max_context) override;
  absl::StatusOr<DeviceFigures> Measure() override;
  uint64_t WeightBytes() const override { return shared_.weights.bytes(); }
  uint64_t ActivationBytes() const override;

 private:
  friend class PreparedCpuPlan;

  // What the prepared plans use together; one call runs at a time.
  struct Shared {
    const cpu::Kernels* kernels = nullptr;
    std::unique_ptr<cpu::ThreadPool> pool;
    LoadedWeights weights;
    std::mutex run_mutex;
    HostMemory activations;         // for the plan that needs most
    cpu::Workspace::Limits limits;  // the largest of all plans
    std::optional<cpu::Workspace> workspace;
    uint64_t workspace_bytes = 0;
    std::vector<int32_t> suppressed_ids;
  };

  CpuExecutor() = default;
  absl::Status GrowWorkspace(const Plan& plan);
  absl::Status GrowActivations(uint64_t bytes);

  Shared shared_;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_CPU_EXECUTOR_H_
