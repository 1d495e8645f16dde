// A source of weights that a test has made.
#ifndef CC_WEIGHTS_TESTING_MEMORY_WEIGHTS_H_
#define CC_WEIGHTS_TESTING_MEMORY_WEIGHTS_H_

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cc/weights/weight_source.h"

namespace gemma {

// Weights from memory; counts what was asked for.
class MemoryWeights final : public WeightSource {
 public:
  explicit MemoryWeights(std::map<std::string, std::vector<std::byte>> data)
      : data_(std::move(data)) {}

  absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) override;

  int reads = 0;      // calls
  int delivered = 0;  // weights

 private:
  std::map<std::string, std::vector<std::byte>> data_;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_TESTING_MEMORY_WEIGHTS_H_
