#include "cc/weights/ptd_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/weights/part_sink.h"

namespace gemma {

absl::StatusOr<PtdFiles> PtdFiles::Create(std::vector<PtdFile> files) {
  PtdFiles result(std::move(files));
  for (size_t i = 0; i < result.files_.size(); ++i) {
    for (const auto& [key, blob] : result.files_[i].blobs()) {
      if (!result.file_of_.emplace(key, i).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("weight ", Shown(key), " is in two .ptd files"));
      }
    }
  }
  return result;
}

absl::StatusOr<std::vector<PtdFiles::Part>> PtdFiles::Split(
    std::span<const WeightRequest> requests) const {
  std::vector<Part> parts(files_.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto found = file_of_.find(requests[i].key);
    if (found == file_of_.end()) {
      return absl::NotFoundError(
          absl::StrCat("weight ", Shown(requests[i].key), " is in no .ptd file"));
    }
    parts[found->second].requests.push_back(requests[i]);
    parts[found->second].indices.push_back(i);
  }
  return parts;
}

absl::Status PtdFiles::Check(std::span<const WeightRequest> requests) const {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<Part> parts, Split(requests));
  for (size_t file = 0; file < files_.size(); ++file)
    GEMMA_RETURN_IF_ERROR(files_[file].Check(parts[file].requests));
  return absl::OkStatus();
}

absl::Status PtdFiles::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  GEMMA_RETURN_IF_ERROR(Check(requests));
  GEMMA_ASSIGN_OR_RETURN(const std::vector<Part> parts, Split(requests));
  for (size_t file = 0; file < files_.size(); ++file) {
    PartSink part(sink, parts[file].indices);
    GEMMA_RETURN_IF_ERROR(files_[file].Read(parts[file].requests, part));
  }
  return absl::OkStatus();
}

}  // namespace gemma
