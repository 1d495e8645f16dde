#include "cc/server/scheduler.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"

namespace gemma::server {
namespace {

constexpr int kMaxRetryAfter = 60;        // seconds
constexpr double kNewestJobWeight = 0.2;  // in the average of the jobs' seconds
// A slot is taken over for its prefix where this spares at least such a part of the prompt; else
// the one that was idle longest, which others may not come back to.
constexpr double kWorthwhilePrefix = 0.5;

absl::Status ShuttingDown() {
  return WithRetryAfter(absl::UnavailableError("the server is shutting down"), kMaxRetryAfter);
}

// Memory can run out in a step; the server goes on.
std::optional<absl::Status> RunStep(Slot& slot) {
  try {
    return slot.Step();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the answer failed: ", error.what()));
  }
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : queue_(options.queue, options.keys), last_used_(options.slots) {}

absl::StatusOr<std::unique_ptr<Scheduler>> Scheduler::Create(Engine& engine,
                                                             const SchedulerOptions& options) {
  std::unique_ptr<Scheduler> scheduler(new Scheduler(options));
  for (size_t i = 0; i < options.slots; ++i) {
    scheduler->slots_.push_back(std::make_unique<Slot>(engine, options.prefill_chunk));
    GEMMA_RETURN_IF_ERROR(scheduler->slots_.back()->Open());
  }
  scheduler->thread_ = std::thread([raw = scheduler.get()] { raw->Run(); });
  return scheduler;
}

Scheduler::~Scheduler() {
  if (!thread_.joinable()) return;
  Drain(std::chrono::milliseconds(0));
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::StatusOr<std::shared_ptr<Job>> Scheduler::Submit(JobSpec spec) {
  auto job = std::make_shared<Job>(std::move(spec));
  {
    std::lock_guard lock(mutex_);
    if (draining_) return ShuttingDown();
    // A job that a free slot takes at once needs no place in the queue.
    const size_t free = slots_.size() - Running();
    if (!queue_.Push(job, free)) {
      return WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                                queue_.size(),
                                " requests are waiting already (come again later, or serve with a "
                                "larger --queue)")),
                            RetryAfter());
    }
  }
  changed_.notify_all();
  return job;
}

void Scheduler::Cancel(Job& job) {
  job.Cancel();
  std::lock_guard lock(mutex_);
  DropCancelled();
}

void Scheduler::DropCancelled() {
  for (const std::shared_ptr<Job>& job : queue_.TakeCancelled())
    job->End(absl::CancelledError("the client has left"));
}

SchedulerState Scheduler::state() const {
  std::lock_guard lock(mutex_);
  return {.running = Running(), .waiting = queue_.size()};
}

bool Scheduler::Drain(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  const bool drained =
      all_ended_.wait_for(lock, limit, [this] { return Running() == 0 && queue_.size() == 0; });
  for (const std::shared_ptr<Job>& job : queue_.TakeAll()) job->End(ShuttingDown());
  for (const std::unique_ptr<Slot>& slot : slots_) {
    if (slot->busy()) slot->Cut(ShuttingDown());
  }
  all_ended_.wait(lock, [this] { return Running() == 0; });
  return drained;
}

size_t Scheduler::Running() const {
  return static_cast<size_t>(
      std::ranges::count_if(slots_, [](const auto& s) { return s->busy(); }));
}

int Scheduler::RetryAfter() const {
  const double rounds = static_cast<double>(queue_.size() + 1) / static_cast<double>(slots_.size());
  return std::clamp(static_cast<int>(std::ceil(rounds * job_seconds_)), 1, kMaxRetryAfter);
}

// Of those that are free. Requires that there is one.
Slot& Scheduler::BestSlot(const Job& job) {
  size_t best = slots_.size(), most = 0, idle = slots_.size();
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i]->busy()) continue;
    const size_t shared = slots_[i]->SharedTokens(job.spec());
    if (best == slots_.size() || shared > most) {
      best = i;
      most = shared;
    }
    if (idle == slots_.size() || last_used_[i] < last_used_[idle]) idle = i;
  }
  const double needed = kWorthwhilePrefix * static_cast<double>(job.spec().prompt.size());
  const size_t chosen = static_cast<double>(most) >= needed ? best : idle;
  last_used_[chosen] = ++turns_;
  return *slots_[chosen];
}

void Scheduler::Admit() {
  DropCancelled();
  while (Running() < slots_.size()) {
    std::shared_ptr<Job> job = queue_.Pop();
    if (job == nullptr) return;
    Slot& slot = BestSlot(*job);
    slot.Start(std::move(job));
  }
}

void Scheduler::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    Admit();
    if (Running() == 0) {
      all_ended_.notify_all();
      if (stopping_) return;
      changed_.wait(lock);
      continue;
    }
    for (const std::unique_ptr<Slot>& slot : slots_) {
      if (slot->busy()) Step(*slot, lock);
      Admit();
    }
  }
}

// The model runs without the lock: which slots are busy changes only under it.
void Scheduler::Step(Slot& slot, std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const std::optional<absl::Status> end = RunStep(slot);
  lock.lock();
  if (!end.has_value()) return;
  const std::chrono::duration<double> seconds = Job::Clock::now() - slot.job().submitted();
  job_seconds_ += kNewestJobWeight * (seconds.count() - job_seconds_);
  slot.Release(*end);
}

}  // namespace gemma::server
