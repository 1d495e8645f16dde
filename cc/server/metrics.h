// What a server counts, in Prometheus' text format (version 0.0.4). Thread safe.
#ifndef CC_SERVER_METRICS_H_
#define CC_SERVER_METRICS_H_

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "cc/server/answer.h"
#include "cc/server/scheduler.h"

namespace gemma::server {

class Metrics {
 public:
  // A request was answered, or begun to be, with this status.
  void CountRequest(const std::string& endpoint, int http_status);

  // An answer has ended; `left`: because its client left. Seconds are since it was submitted; the
  // first is negative where no token came.
  void CountAnswer(const Answer& answer, bool left, double first_token_seconds, double seconds);

  // `ready`: the model is loaded.
  std::string Render(const SchedulerState& state, bool ready) const;

 private:
  struct Histogram {
    static constexpr std::array<double, 11> kBounds = {0.01, 0.05, 0.1, 0.25, 0.5, 1,
                                                       2.5,  5,    10,  30,   120};
    std::array<uint64_t, kBounds.size() + 1> counts = {};
    double sum = 0;

    void Add(double value);
    std::string Render(const std::string& name, const std::string& help) const;
  };

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  uint64_t prompt_tokens_ = 0, cached_tokens_ = 0, completion_tokens_ = 0;
  uint64_t answers_ = 0, left_ = 0;
  Histogram first_token_, answer_;
};

}  // namespace gemma::server

#endif  // CC_SERVER_METRICS_H_
