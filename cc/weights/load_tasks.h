// Numbered tasks carried out by several threads, as loading weights needs it: the first error stops
// all of them, and progress is reported by one thread at a time.
#ifndef CC_WEIGHTS_LOAD_TASKS_H_
#define CC_WEIGHTS_LOAD_TASKS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "cc/weights/weight_source.h"

namespace gemma {

// Whether another task failed: then a task should end soon, with any status.
using LoadStopped = std::atomic<bool>;

// `wanted` threads, or as many as are worth it where that is 0: one a CPU, at most 16 (each hashes
// 1 to 2 GB/s, and copies to a GPU are faster than all of them). Never more than the sink lets hold
// a piece, or than there are tasks; at least 1.
int LoadThreads(int wanted, size_t tasks, const WeightSink& sink);

// Calls task(0) to task(tasks - 1), each once and about in this order, on `threads` threads; after
// an error no further task is begun. Returns the error of the lowest task that has one.
absl::Status RunLoadTasks(size_t tasks, int threads,
                          absl::FunctionRef<absl::Status(size_t, const LoadStopped&)> task);

// Counts bytes on behalf of all tasks.
class ByteProgress {
 public:
  // `report` gets bytes done, which never fall, and `total`; it may be null.
  ByteProgress(uint64_t total, std::function<void(uint64_t, uint64_t)> report)
      : total_(total), report_(std::move(report)) {}

  void Add(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    done_ += bytes;
    if (report_) report_(done_, total_);
  }

 private:
  const uint64_t total_;
  const std::function<void(uint64_t, uint64_t)> report_;
  std::mutex mutex_;
  uint64_t done_ = 0;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_LOAD_TASKS_H_
