#include "cc/base/write_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

absl::Status Failure(absl::string_view path, absl::string_view what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": ", what));
}

// A rename survives a power cut only once its folder is synced.
absl::Status SyncFolder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? std::string(".") : parent.string();
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return Failure(folder, "cannot be synced");
  const int failed = fsync(descriptor);
  close(descriptor);
  return failed == 0 ? absl::OkStatus() : Failure(folder, "cannot be synced");
}

}  // namespace

absl::StatusOr<PartialFile> PartialFile::Create(const std::string& path) {
  PartialFile file(path, -1);
  file.descriptor_ =
      open(file.partial_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file.descriptor_ < 0) return Failure(path, "cannot be written");
  return file;
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

PartialFile::~PartialFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(partial_path().c_str());
}

absl::Status PartialFile::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure(path_, "could not be written");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status PartialFile::Commit() {
  if (fsync(descriptor_) != 0) return Failure(path_, "could not be written");
  if (std::rename(partial_path().c_str(), path_.c_str()) != 0)
    return Failure(path_, "could not be put in place");
  close(std::exchange(descriptor_, -1));
  return SyncFolder(path_);
}

absl::Status WriteFile(const std::string& path, absl::string_view bytes) {
  GEMMA_ASSIGN_OR_RETURN(PartialFile file, PartialFile::Create(path));
  GEMMA_RETURN_IF_ERROR(file.Write(bytes));
  return file.Commit();
}

}  // namespace gemma
