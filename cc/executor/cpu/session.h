// A session whose keys and values lie in host memory.
#ifndef CC_EXECUTOR_CPU_SESSION_H_
#define CC_EXECUTOR_CPU_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/base/host_memory.h"
#include "cc/executor/session_state.h"
#include "cc/kernels/operations.h"
#include "cc/plan/plan.h"

namespace gemma {

class CpuSession final : public SessionState {
 public:
  // ResourceExhausted with the number of bytes.
  static absl::StatusOr<std::unique_ptr<CpuSession>> Create(const std::vector<PlanCache>& caches,
                                                            int64_t max_context);

  const KvCache& cache(size_t slot) const { return kv_caches_[slot]; }

 private:
  CpuSession(const std::vector<PlanCache>& caches, int64_t max_context, HostMemory memory);

  HostMemory memory_;
  std::vector<KvCache> kv_caches_;  // as caches()
};

}  // namespace gemma

#endif  // CC_EXECUTOR_CPU_SESSION_H_
