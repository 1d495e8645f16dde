// Reading files that may be hostile: sizes are checked before memory is taken,
// and only regular files are read (a directory, FIFO or device
// is refused in a sentence instead of blocking or failing later).
#ifndef CC_BASE_FILE_H_
#define CC_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace gemma {

// An open regular file. ReadAt may be called from several threads at once.
class RandomAccessFile {
 public:
  // NotFound, PermissionDenied, FailedPrecondition (not a regular file) or Internal; the message
  // names the path.
  static absl::StatusOr<RandomAccessFile> Open(const std::string& path);

  RandomAccessFile(RandomAccessFile&& other) noexcept;
  RandomAccessFile& operator=(RandomAccessFile&& other) noexcept;
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;
  ~RandomAccessFile();

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // bytes, as of Open

  // Fills `destination` from byte `offset` on. OutOfRange when the file ends before that.
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> destination) const;

  // Lets the system begin to read these bytes, so that ReadAt waits less. Never fails.
  void Prefetch(uint64_t offset, uint64_t bytes) const;

 private:
  RandomAccessFile(std::string path, int descriptor, uint64_t size);

  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// The whole file as bytes. ResourceExhausted when it is larger than max_bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes);

}  // namespace gemma

#endif  // CC_BASE_FILE_H_
