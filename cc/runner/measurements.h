// Numbers of repeated measurements and the tables that `bench` prints of them.
#ifndef CC_RUNNER_MEASUREMENTS_H_
#define CC_RUNNER_MEASUREMENTS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cc/engine/session.h"  // StepTime

namespace gemma {

struct Summary {
  double mean = 0;
  double deviation = 0;  // of a sample (n - 1); 0 for a single value
};

// Requires at least one value.
Summary Summarize(const std::vector<double>& values);

// One line of `bench`.
struct Measurement {
  std::string test;                       // prefill or decode
  int64_t tokens = 0;                     // processed in a repetition
  int64_t depth = 0;                      // tokens in the context before
  std::vector<double> tokens_per_second;  // by repetition
  double bytes_per_token = 0;             // read from the device's memory; 0: not known
};

// What the measurements were made with.
struct BenchConditions {
  std::string model;
  std::string device;
  std::string sampling = "greedy";
  double load_seconds = 0;
  double weights_seconds = 0;  // of load_seconds: allocating, reading and copying them
  uint64_t weight_bytes = 0;
  uint64_t session_bytes = 0;
  double read_bandwidth = 0;  // of the device's memory, bytes a second, in this run; 0: not known
};

// What was taken by the end.
struct BenchMemory {
  uint64_t peak_resident_bytes = 0;  // of the process
  uint64_t device_bytes_used = 0;    // of the whole GPU; 0: not known
};

// The steps of a call at one depth, by kind.
struct StepProfile {
  int64_t depth = 0;
  int64_t tokens = 1;
  std::vector<StepTime> kinds;
};

enum class BenchFormat { kTable, kMarkdown, kJson };

// "table", "markdown" or "json".
BenchFormat FindFormat(absl::string_view name);

// Prints conditions and results as they come; JSON, which is one document, when it is finished.
class BenchReport {
 public:
  BenchReport(BenchFormat format, BenchConditions conditions,
              std::function<void(const std::string&)> print);

  void Add(const Measurement& measurement);
  void Add(const StepProfile& profile);
  // To be called once, whether or not all that was planned could be measured.
  void Finish(const BenchMemory& memory);

 private:
  const BenchFormat format_;
  const BenchConditions conditions_;
  const std::function<void(const std::string&)> print_;
  std::vector<Measurement> measurements_;
  std::vector<StepProfile> profiles_;
};

}  // namespace gemma

#endif  // CC_RUNNER_MEASUREMENTS_H_
