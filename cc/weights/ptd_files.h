// All .ptd files of one model as a single source: every weight is in exactly one of them.
#ifndef CC_WEIGHTS_PTD_FILES_H_
#define CC_WEIGHTS_PTD_FILES_H_

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/weights/ptd_file.h"
#include "cc/weights/weight_source.h"

namespace gemma {

class PtdFiles final : public WeightSource {
 public:
  // InvalidArgument when two files have a weight of one name.
  static absl::StatusOr<PtdFiles> Create(std::vector<PtdFile> files);

  // Whether every request is in a file with its size; what Read says before it reads.
  absl::Status Check(std::span<const WeightRequest> requests) const;
  // Reads file after file, each to its end.
  absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) override;

  bool Has(const std::string& key) const { return file_of_.contains(key); }
  const std::vector<PtdFile>& files() const { return files_; }

 private:
  // The requests of one file, with their places among all requests.
  struct Part {
    std::vector<WeightRequest> requests;
    std::vector<size_t> indices;
  };

  explicit PtdFiles(std::vector<PtdFile> files) : files_(std::move(files)) {}
  // By file.
  absl::StatusOr<std::vector<Part>> Split(std::span<const WeightRequest> requests) const;

  std::vector<PtdFile> files_;
  std::map<std::string, size_t> file_of_;  // by key
};

}  // namespace gemma

#endif  // CC_WEIGHTS_PTD_FILES_H_
