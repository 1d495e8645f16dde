#include "cc/server/job.h"

#include <utility>

namespace gemma::server {

std::optional<JobEvent> Job::Next(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, wait, [this] { return !events_.empty() || ended_; });
  if (events_.empty()) return std::nullopt;
  JobEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

bool Job::done() const {
  std::lock_guard lock(mutex_);
  return ended_ && events_.empty();
}

absl::Status Job::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

void Job::Cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (flag_ != nullptr) *flag_ = true;
}

void Job::SetCancelFlag(std::atomic<bool>* flag) {
  std::lock_guard lock(mutex_);
  flag_ = flag;
  if (flag_ != nullptr) *flag_ = cancelled_.load();
}

void Job::Push(JobEvent event) {
  {
    std::lock_guard lock(mutex_);
    if (events_.size() >= kMaxQueuedEvents) {
      cancelled_ = true;
      if (flag_ != nullptr) *flag_ = true;
      return;
    }
    events_.push_back(std::move(event));
  }
  changed_.notify_all();
}

void Job::End(absl::Status status) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    status_ = std::move(status);
  }
  changed_.notify_all();
}

}  // namespace gemma::server
