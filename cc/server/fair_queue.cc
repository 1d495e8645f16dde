#include "cc/server/fair_queue.h"

#include <algorithm>
#include <utility>

namespace gemma::server {

bool FairQueue::Push(std::shared_ptr<Job> job, size_t extra) {
  if (size_ >= places_ + extra) return false;
  const std::string& key = job->spec().key;
  auto line = std::ranges::find(lines_, key, &Line::key);
  if (line != lines_.end() && line->jobs.size() >= share_ + extra) return false;
  if (line == lines_.end()) line = lines_.insert(lines_.end(), {key, {}});
  line->jobs.push_back(std::move(job));
  ++size_;
  return true;
}

std::shared_ptr<Job> FairQueue::Pop() {
  if (lines_.empty()) return nullptr;
  std::shared_ptr<Job> job = std::move(lines_.front().jobs.front());
  lines_.front().jobs.pop_front();
  --size_;
  if (lines_.front().jobs.empty()) {
    lines_.pop_front();
  } else {
    lines_.splice(lines_.end(), lines_, lines_.begin());
  }
  return job;
}

std::vector<std::shared_ptr<Job>> FairQueue::TakeCancelled() {
  std::vector<std::shared_ptr<Job>> taken;
  for (Line& line : lines_) {
    std::erase_if(line.jobs, [&](const std::shared_ptr<Job>& job) {
      if (!job->cancelled()) return false;
      taken.push_back(job);
      return true;
    });
  }
  std::erase_if(lines_, [](const Line& line) { return line.jobs.empty(); });
  size_ -= taken.size();
  return taken;
}

std::vector<std::shared_ptr<Job>> FairQueue::TakeAll() {
  std::vector<std::shared_ptr<Job>> taken;
  while (std::shared_ptr<Job> job = Pop()) taken.push_back(std::move(job));
  return taken;
}

}  // namespace gemma::server
