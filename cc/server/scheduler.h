// Who is answered when: a bounded queue before a few slots, which take turns on the model, one call
// each. One thread runs the model; Submit and the rest may be called from any.
//
//   GEMMA_ASSIGN_OR_RETURN(auto scheduler, Scheduler::Create(engine, {.slots = 2, .queue = 32}));
//   GEMMA_ASSIGN_OR_RETURN(std::shared_ptr<Job> job, scheduler->Submit(std::move(spec)));
//   while (!job->done()) ... job->Next(...) ...
#ifndef CC_SERVER_SCHEDULER_H_
#define CC_SERVER_SCHEDULER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/server/fair_queue.h"
#include "cc/server/job.h"
#include "cc/server/slot.h"

namespace gemma::server {

struct SchedulerOptions {
  size_t slots = 1;           // answers that take turns, and conversations that are remembered
  size_t queue = 32;          // jobs that wait
  size_t keys = 1;            // API keys that share the queue
  int64_t prefill_chunk = 0;  // as in SessionOptions
};

struct SchedulerState {
  size_t running = 0;
  size_t waiting = 0;
};

class Scheduler {
 public:
  // The engine must outlive this. ResourceExhausted when there is no memory for the sessions.
  static absl::StatusOr<std::unique_ptr<Scheduler>> Create(Engine& engine,
                                                           const SchedulerOptions& options);
  // Ends all jobs.
  ~Scheduler();

  // ResourceExhausted, with the seconds after which to come again, when the queue is full;
  // Unavailable when draining.
  absl::StatusOr<std::shared_ptr<Job>> Submit(JobSpec spec);

  // A job was cancelled: one that waits is dropped at once.
  void Cancel(Job& job);

  SchedulerState state() const;

  // Takes no more jobs, and waits until the last one has ended or `limit` has passed. Those that
  // are left are then cut with Unavailable. Whether there were none.
  bool Drain(std::chrono::milliseconds limit);

 private:
  explicit Scheduler(const SchedulerOptions& options);

  void Run();
  void Step(Slot& slot, std::unique_lock<std::mutex>& lock);
  void DropCancelled();
  void Admit();
  Slot& BestSlot(const Job& job);
  size_t Running() const;
  int RetryAfter() const;

  mutable std::mutex mutex_;           // of all below
  std::condition_variable changed_;    // for the thread: there is work, or the end has come
  std::condition_variable all_ended_;  // for Drain
  FairQueue queue_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<uint64_t> last_used_;  // by slot: the turn of its last job
  uint64_t turns_ = 0;
  double job_seconds_ = 1;  // of late jobs, on average
  bool draining_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gemma::server

#endif  // CC_SERVER_SCHEDULER_H_
