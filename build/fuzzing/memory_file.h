// A file that exists in memory alone, for parsers that open a path.
#ifndef BUILD_FUZZING_MEMORY_FILE_H_
#define BUILD_FUZZING_MEMORY_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "absl/strings/string_view.h"
#include "build/fuzzing/harness.h"

namespace gemma::fuzzing {

class MemoryFile {
 public:
  explicit MemoryFile(absl::string_view bytes) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    Check(descriptor_ >= 0, "a file in memory can be made");
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    Check(written == static_cast<ssize_t>(bytes.size()), "a file in memory can be written");
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  const int descriptor_;
};

}  // namespace gemma::fuzzing

#endif  // BUILD_FUZZING_MEMORY_FILE_H_
