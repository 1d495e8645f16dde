// Jobs that wait, a bounded number of them, fair between keys: keys take turns, and where there are
// several no key can take the places of the others. Not thread safe.
#ifndef CC_SERVER_FAIR_QUEUE_H_
#define CC_SERVER_FAIR_QUEUE_H_

#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "cc/server/job.h"

namespace gemma::server {

class FairQueue {
 public:
  // `keys`: how many keys share the places; each has at most its share, rounded up.
  FairQueue(size_t places, size_t keys)
      : places_(places), share_(keys > 1 ? (places + keys - 1) / keys : places) {}

  size_t size() const { return size_; }

  // False where all places, or the key's share of them, are taken. `extra`: places more, for jobs
  // that do not wait.
  bool Push(std::shared_ptr<Job> job, size_t extra = 0);

  // The oldest job of the key whose turn it is; null when nothing waits.
  std::shared_ptr<Job> Pop();

  // Takes out all cancelled jobs, or all jobs.
  std::vector<std::shared_ptr<Job>> TakeCancelled();
  std::vector<std::shared_ptr<Job>> TakeAll();

 private:
  struct Line {
    std::string key;
    std::deque<std::shared_ptr<Job>> jobs;
  };

  const size_t places_;
  const size_t share_;
  size_t size_ = 0;
  std::list<Line> lines_;  // none is empty; the first one's turn is next
};

}  // namespace gemma::server

#endif  // CC_SERVER_FAIR_QUEUE_H_
