// Where the time went: named phases in the order in which they happened. Plain data, filled by
// whoever does the work.
#ifndef CC_ENGINE_BENCHMARK_INFO_H_
#define CC_ENGINE_BENCHMARK_INFO_H_

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace gemma {

class BenchmarkInfo {
 public:
  struct Phase {
    std::string name;
    double seconds = 0;
  };

  void Add(std::string name, double seconds) { phases_.push_back({std::move(name), seconds}); }

  const std::vector<Phase>& phases() const { return phases_; }

  // Of the phases of this name, 0 where there is none.
  double seconds(const std::string& name) const {
    double total = 0;
    for (const Phase& phase : phases_) {
      if (phase.name == name) total += phase.seconds;
    }
    return total;
  }

  double total_seconds() const {
    double total = 0;
    for (const Phase& phase : phases_) total += phase.seconds;
    return total;
  }

 private:
  std::vector<Phase> phases_;
};

// Seconds since it was made or last restarted.
class Stopwatch {
 public:
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  // Returns the seconds so far and starts again.
  double Restart() {
    const double seconds = Seconds();
    start_ = Clock::now();
    return seconds;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace gemma

#endif  // CC_ENGINE_BENCHMARK_INFO_H_
