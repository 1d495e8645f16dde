#include "cc/weights/load_tasks.h"

#include <algorithm>
#include <memory>

#include "absl/status/statusor.h"
#include "cc/base/cpu_count.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cpu/thread_pool.h"

namespace gemma {
namespace {

constexpr int kMaxThreads = 16;

}  // namespace

int LoadThreads(int wanted, size_t tasks, const WeightSink& sink) {
  const int threads = wanted > 0 ? wanted : std::min(kMaxThreads, AvailableCpus());
  const int worth = static_cast<int>(std::min<size_t>(threads, tasks));
  return std::max(1, std::min(worth, sink.max_reserved()));
}

absl::Status RunLoadTasks(size_t tasks, int threads,
                          absl::FunctionRef<absl::Status(size_t, const LoadStopped&)> task) {
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<cpu::ThreadPool> pool,
                         cpu::ThreadPool::Create(threads));
  std::atomic<size_t> next{0};
  LoadStopped stopped{false};
  std::mutex mutex;
  size_t failed = tasks;
  absl::Status error;
  pool->Run([&](cpu::Slice) {
    for (size_t i = next++; i < tasks && !stopped; i = next++) {
      absl::Status status = task(i, stopped);
      if (status.ok()) continue;
      std::lock_guard lock(mutex);
      // A task that ended because another one failed has not the reason.
      if (i < failed && !(stopped && absl::IsCancelled(status))) {
        failed = i;
        error = std::move(status);
      }
      stopped = true;
    }
  });
  return error;
}

}  // namespace gemma
