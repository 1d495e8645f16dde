// The weights of one model in one kind of memory, each loaded once, however many methods use it.
#ifndef CC_WEIGHTS_LOADED_WEIGHTS_H_
#define CC_WEIGHTS_LOADED_WEIGHTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/kernels/weight_layout.h"
#include "cc/plan/plan.h"
#include "cc/weights/weight_memory.h"
#include "cc/weights/weight_source.h"

namespace gemma {

class LoadedWeights {
 public:
  // In host memory where nothing else is said.
  LoadedWeights();
  explicit LoadedWeights(std::unique_ptr<WeightMemory> memory) : memory_(std::move(memory)) {}

  // What Load takes for these weights, if none of them is here yet: exactly their sizes plus
  // padding to 256 bytes, and 256 bytes more.
  static absl::StatusOr<uint64_t> Bytes(std::span<const PlanWeight> weights);

  // Takes memory for the weights that are not here yet and reads them: one block. After an error
  // the store is as it was before.
  absl::Status Load(std::span<const PlanWeight> weights, WeightSource& source);

  // The view stays valid as long as the store. NotFound when it was not loaded; InvalidArgument
  // when it was loaded with another layout, shape or size.
  absl::StatusOr<WeightView> Find(const PlanWeight& weight) const;

  uint64_t bytes() const { return bytes_; }  // of all blocks

 private:
  struct Entry {
    PlanWeight weight;
    WeightView view;
  };

  absl::StatusOr<const Entry*> FindEntry(const PlanWeight& weight) const;
  absl::StatusOr<std::vector<PlanWeight>> Missing(std::span<const PlanWeight> weights) const;

  std::map<std::string, Entry> entries_;  // by data_key
  std::unique_ptr<WeightMemory> memory_;
  std::vector<std::unique_ptr<WeightBlock>> blocks_;
  uint64_t bytes_ = 0;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_LOADED_WEIGHTS_H_
