// Runs plans on one GPU. A call of one token is a single launch of a captured graph, in which
// position, token and sampling lie in GPU memory, so that the host waits for nothing but the token;
// 2 to 8 tokens run the same products (matvec), more run GEMMs.
//
// Memory is taken by LoadWeights, Prepare and NewSession alone,
// each after its size is known, and given back when they fail. Calls take turns.
// Keys and values are float16; what the plan calls float32 is kept in pairs of them,
// and products take float16 or pairs as the plan says (docs/numerics.md).
#ifndef CC_EXECUTOR_CUDA_EXECUTOR_H_
#define CC_EXECUTOR_CUDA_EXECUTOR_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/executor/cuda/fusion.h"
#include "cc/executor/cuda/launcher.h"
#include "cc/executor/executor.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/runtime/device.h"
#include "cc/kernels/cuda/runtime/host_buffer.h"
#include "cc/kernels/cuda/runtime/wait.h"
#include "cc/weights/loaded_weights.h"

namespace gemma {

class CudaExecutor final : public Executor {
 public:
  struct Options {
    cuda::Device device;
    std::vector<int32_t> suppressed_ids = {};                     // never drawn
    std::chrono::milliseconds longest_wait = cuda::kLongestWait;  // for a call
  };
  static absl::StatusOr<std::unique_ptr<CudaExecutor>> Create(const Options& options);
  ~CudaExecutor() override;

  std::string Description() const override;
  absl::StatusOr<ExecutorMemory> EstimateMemory(
      std::span<const Plan* const> plans, const std::vector<PlanCache>& caches) const override;
  absl::Status LoadWeights(std::span<const PlanWeight> weights, WeightSource& source) override;
  // Before the first NewSession: graphs hold the addresses of what Prepare takes.
  absl::StatusOr<std::unique_ptr<PreparedPlan>> Prepare(const Plan& plan,
                                                        std::vector<size_t> cache_slots) override;
  absl::StatusOr<std::unique_ptr<SessionState>> NewSession(const std::vector<PlanCache>& caches,
                                                           int64_t max_context) override;
  absl::StatusOr<DeviceFigures> Measure() override;
  uint64_t WeightBytes() const override { return shared_.weights->bytes(); }
  uint64_t ActivationBytes() const override;

 private:
  friend class PreparedCudaPlan;

  // What the prepared plans use together; one call runs at a time.
  struct Shared {
    cuda::OwnedStream stream;
    cuda::Context context;  // with the stream and the workspace
    std::unique_ptr<LoadedWeights> weights;
    std::mutex run_mutex;
    cuda::DeviceBuffer activations;  // for the plan that needs most, and the calls' buffers
    cuda::HostBuffer ids;            // on their way to the GPU
    std::vector<int32_t> suppressed_ids;
    cuda::DeviceBuffer suppressed_memory;      // the same on the GPU
    std::optional<cuda::Workspace> workspace;  // the largest of all plans
    std::map<size_t, int> rotated;             // by cache slot: DeviceCache::rotated
    std::chrono::milliseconds longest_wait = cuda::kLongestWait;
    bool has_sessions = false;
    absl::Status lost;  // why the GPU cannot be used any more

    cuda::SuppressedIds Suppressed() const;
  };

  CudaExecutor() = default;
  absl::Status KeepSuppressedIds(const std::vector<int32_t>& ids);
  absl::Status GrowWorkspace(const cuda::Regions& regions);
  absl::Status GrowActivations(uint64_t bytes);
  absl::Status GrowIds(int64_t tokens);
  absl::StatusOr<std::vector<int>> FindRotations(const Plan& plan,
                                                 const std::vector<WeightView>& weights) const;

  Shared shared_;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_CUDA_EXECUTOR_H_
