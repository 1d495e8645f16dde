#include "cc/weights/ptd_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/weights/part_sink.h"

namespace gemma {
absl::StatusOr<PtdFiles> PtdFiles::Create(std::vector<PtdFile> files) {
  PtdFiles result(std::move(files));
  for (size_t i = 0; i < result.files_.size(); ++i) {
    for (const auto& [key, blob] : result.files_[i].blobs()) {
      if (!result.file_of_.emplace(key, i).second) {
        return absl::InvalidArgumentError(absl::StrCat("weight ", key, " is in two .ptd files"));
      }
    }
  }
  return result;
}

absl::Status PtdFiles::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  std::vector<std::vector<WeightRequest>> parts(files_.size());
  std::vector<std::vector<size_t>> indices(files_.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto found = file_of_.find(requests[i].key);
    if (found == file_of_.end()) {
      return absl::NotFoundError(absl::StrCat("weight ", requests[i].key, " is in no .ptd file"));
    }
    parts[found->second].push_back(requests[i]);
    indices[found->second].push_back(i);
  }
  for (size_t file = 0; file < files_.size(); ++file) {
    PartSink part(sink, indices[file]);
    GEMMA_RETURN_IF_ERROR(files_[file].Read(parts[file], part));
  }
  return absl::OkStatus();
}

}  // namespace gemma
