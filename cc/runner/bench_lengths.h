// Which lengths `bench` measures, and that they fit the artifact's context.
#ifndef CC_RUNNER_BENCH_LENGTHS_H_
#define CC_RUNNER_BENCH_LENGTHS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace gemma {

struct BenchLengths {
  std::vector<int64_t> prefill = {512};  // tokens
  std::vector<int64_t> decode = {64};
  std::vector<int64_t> depth = {0};
  bool prefill_given = false;  // by the user, and so not to be changed
  bool decode_given = false;
};

// Shortens what was not given to what fits beside the largest depth, and returns a note about it,
// empty where nothing was changed. UsageError, naming the flag and both numbers, where the given
// lengths do not fit `max_seq_len` positions.
absl::StatusOr<std::string> FitLengths(int64_t max_seq_len, BenchLengths& lengths);

}  // namespace gemma

#endif  // CC_RUNNER_BENCH_LENGTHS_H_
