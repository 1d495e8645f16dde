// One answer on its way: what to generate, and the steps that come of it, from the scheduler's
// thread to the connection's. A slow client never holds the model up: steps wait in a queue, and
// where that grows too long the job is cancelled.
#ifndef CC_SERVER_JOB_H_
#define CC_SERVER_JOB_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cc/engine/generation.h"
#include "cc/text/token_constraint.h"

namespace gemma::server {

// What an answer is made from; fixed once it is submitted.
struct JobSpec {
  std::string key;  // whose it is, for fairness
  std::vector<int32_t> prompt;
  int64_t choices = 1;
  // Of every choice, but for the seed, which grows by one a choice, and the pointers.
  GenerationOptions options = {};
  std::vector<std::unique_ptr<TokenConstraint>> constraints = {};  // one a choice; empty: none
};

// One entry of the queue: a step of a choice, or its end.
struct JobEvent {
  int64_t choice = 0;
  GenerationStep step = {};
  std::optional<GenerationResult> end = std::nullopt;  // of this choice
};

class Job {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Job(JobSpec spec) : spec_(std::move(spec)) {}

  const JobSpec& spec() const { return spec_; }
  Clock::time_point submitted() const { return submitted_; }

  // ---- the connection's side ----

  // The next event; none when `wait` has passed, or all is over (see done()).
  std::optional<JobEvent> Next(std::chrono::milliseconds wait);
  // Everything has been taken by Next, and nothing follows.
  bool done() const;
  // How it ended, once done(): OK, an error of the engine, Unavailable for one that a shutdown cut.
  absl::Status status() const;
  // Tokens of the prompt that need not be computed; once the first event is there.
  int64_t cached_tokens() const { return cached_tokens_.load(); }
  // The client has left. The answer ends within one step of the model.
  void Cancel();

  // ---- the scheduler's side ----

  const std::atomic<bool>& cancelled() const { return cancelled_; }
  // A flag that Cancel also sets, while the job runs; null: none.
  void SetCancelFlag(std::atomic<bool>* flag);
  void set_cached_tokens(int64_t tokens) { cached_tokens_ = tokens; }
  // Cancels the job when more than kMaxQueuedEvents wait.
  void Push(JobEvent event);
  void End(absl::Status status);

 private:
  static constexpr size_t kMaxQueuedEvents = 10'000;

  const JobSpec spec_;
  const Clock::time_point submitted_ = Clock::now();
  std::atomic<bool> cancelled_ = false;
  std::atomic<int64_t> cached_tokens_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<JobEvent> events_;
  std::atomic<bool>* flag_ = nullptr;
  bool ended_ = false;
  absl::Status status_;
};

}  // namespace gemma::server

#endif  // CC_SERVER_JOB_H_
