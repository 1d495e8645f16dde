// All .ptd files of one model as a single source: every weight is in exactly one of them.
#ifndef CC_DELEGATE_WEIGHT_FILES_H_
#define CC_DELEGATE_WEIGHT_FILES_H_

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/delegate/weight_file.h"
#include "cc/delegate/weight_source.h"

namespace gemma {

class WeightFiles final : public WeightSource {
 public:
  // InvalidArgument when two files have a weight of one name.
  static absl::StatusOr<WeightFiles> Create(std::vector<WeightFile> files);

  // Reads file after file, each to its end.
  absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) override;

  bool Has(const std::string& key) const { return file_of_.contains(key); }
  const std::vector<WeightFile>& files() const { return files_; }

 private:
  explicit WeightFiles(std::vector<WeightFile> files) : files_(std::move(files)) {}

  std::vector<WeightFile> files_;
  std::map<std::string, size_t> file_of_;  // by key
};

}  // namespace gemma

#endif  // CC_DELEGATE_WEIGHT_FILES_H_
