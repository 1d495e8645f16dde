#include "cc/weights/testing/memory_weights.h"

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma {

absl::Status MemoryWeights::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  ++reads;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto found = data_.find(requests[i].key);
    if (found == data_.end())
      return absl::NotFoundError(absl::StrCat("weight ", requests[i].key, " is missing"));
    GEMMA_RETURN_IF_ERROR(DeliverWeight(i, found->second, sink));
    ++delivered;
  }
  return absl::OkStatus();
}

}  // namespace gemma
