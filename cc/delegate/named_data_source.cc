#include "cc/delegate/named_data_source.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;

}  // namespace

absl::Status NamedDataSource::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  for (size_t i = 0; i < requests.size(); ++i) {
    const WeightRequest& request = requests[i];
    const Result<FreeableBuffer> data = map_.get_data(std::string_view(request.key));
    if (!data.ok()) {
      return absl::NotFoundError(absl::StrCat(
          "weight ", request.key, " is not in the data that ExecuTorch was given (error ",
          static_cast<uint32_t>(data.error()), ")"));
    }
    if (data->size() != request.bytes) {
      return absl::InvalidArgumentError(absl::StrCat("weight ", request.key, " has ", data->size(),
                                                     " bytes, but the plan says ", request.bytes));
    }
    const auto* bytes = static_cast<const std::byte*>(data->data());
    GEMMA_RETURN_IF_ERROR(DeliverWeight(i, {bytes, data->size()}, sink));
  }
  return absl::OkStatus();
}

}  // namespace gemma
