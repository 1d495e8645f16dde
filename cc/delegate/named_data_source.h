// Reads weights from ExecuTorch's NamedDataMap, for hosts that load the .pte without our Engine.
#ifndef CC_DELEGATE_NAMED_DATA_SOURCE_H_
#define CC_DELEGATE_NAMED_DATA_SOURCE_H_

#include <executorch/runtime/core/named_data_map.h>

#include <span>

#include "absl/status/status.h"
#include "cc/weights/weight_source.h"

namespace gemma {

class NamedDataSource final : public WeightSource {
 public:
  // `map` must outlive this.
  explicit NamedDataSource(const executorch::runtime::NamedDataMap& map) : map_(map) {}

  // Holds one weight at a time beside the sink's memory. Sizes are known only when a weight is
  // there, so a wrong one is refused after earlier weights have been delivered.
  absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) override;

 private:
  const executorch::runtime::NamedDataMap& map_;
};

}  // namespace gemma

#endif  // CC_DELEGATE_NAMED_DATA_SOURCE_H_
