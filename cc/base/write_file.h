// Writing files so that a reader finds the old one or the new one, never half of either: the bytes
// go into PATH.partial, are synced, and take PATH's place by a rename.
#ifndef CC_BASE_WRITE_FILE_H_
#define CC_BASE_WRITE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma {

// A file that is being written. Without Commit, what was written is removed.
class PartialFile {
 public:
  // Only its owner may read the file. A PATH.partial that was left behind is written over. The
  // message of an error names the path.
  static absl::StatusOr<PartialFile> Create(const std::string& path);

  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile();

  absl::Status Write(absl::string_view bytes);

  // Nothing may be written afterwards.
  absl::Status Commit();

 private:
  PartialFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  std::string partial_path() const { return path_ + ".partial"; }

  std::string path_;
  int descriptor_ = -1;
};

// The whole file at once.
absl::Status WriteFile(const std::string& path, absl::string_view bytes);

}  // namespace gemma

#endif  // CC_BASE_WRITE_FILE_H_
