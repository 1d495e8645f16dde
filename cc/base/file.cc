#include "cc/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

absl::Status ErrnoStatus(int error, const std::string& path) {
  const std::string message = absl::StrCat(path, ": ", std::generic_category().message(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<uint64_t> RegularFileSize(int descriptor, const std::string& path) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return ErrnoStatus(errno, path);
  if (S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a directory, not a file"));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file"));
  }
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace

RandomAccessFile::RandomAccessFile(std::string path, int descriptor, uint64_t size)
    : path_(std::move(path)), descriptor_(descriptor), size_(size) {}

RandomAccessFile::RandomAccessFile(RandomAccessFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

RandomAccessFile& RandomAccessFile::operator=(RandomAccessFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

RandomAccessFile::~RandomAccessFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<RandomAccessFile> RandomAccessFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO that nobody writes to would wait forever.
  // It changes nothing for regular files.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return ErrnoStatus(errno, path);
  RandomAccessFile file(path, descriptor, 0);
  GEMMA_ASSIGN_OR_RETURN(file.size_, RegularFileSize(descriptor, path));
  return file;
}

absl::Status RandomAccessFile::ReadAt(uint64_t offset, std::span<std::byte> destination) const {
  if (offset > size_ || destination.size() > size_ - offset) {
    return absl::OutOfRangeError(absl::StrCat(path_, " has ", size_, " bytes, but ",
                                              destination.size(), " were asked for at offset ",
                                              offset));
  }
  while (!destination.empty()) {
    const ssize_t bytes =
        pread(descriptor_, destination.data(), destination.size(), static_cast<off_t>(offset));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return ErrnoStatus(errno, path_);
    if (bytes == 0) {
      return absl::OutOfRangeError(absl::StrCat(
          path_, " had ", size_, " bytes when it was opened, but now ends at ", offset));
    }
    offset += static_cast<uint64_t>(bytes);
    destination = destination.subspan(static_cast<size_t>(bytes));
  }
  return absl::OkStatus();
}

void RandomAccessFile::Prefetch(uint64_t offset, uint64_t bytes) const {
  posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                POSIX_FADV_WILLNEED);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  GEMMA_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::Open(path));
  if (file.size() > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, " has ", file.size(), " bytes, more than the ", max_bytes, " allowed"));
  }
  std::string content(file.size(), '\0');
  GEMMA_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(content))));
  return content;
}

}  // namespace gemma
