// The .ptd file: ExecuTorch's FlatTensor format, read by us instead of by FlatTensorDataMap, which
// (1.5.1) follows the file's offsets without verifying them and so crashes on a corrupt file. Here
// the FlatBuffers verifier runs first, every offset is checked against the file's size, and bytes
// are read (not mapped), so that a file that shrinks is an error and not a signal. Several threads
// read and hash sections of the file, each section once, where the manifest has their digests.
#ifndef CC_WEIGHTS_PTD_FILE_H_
#define CC_WEIGHTS_PTD_FILE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/base/file.h"
#include "cc/weights/weight_source.h"

namespace gemma {

class PtdFile final : public WeightSource {
 public:
  // The digests of the file's sections: `bytes` each, the last one what is left.
  struct Sections {
    uint64_t bytes = 0;
    std::vector<std::string> sha256;  // of each, 64 hexadecimal digits
  };
  struct Options {
    // If there, the first Read goes through the whole file, several sections at a time, and fails
    // with DataLoss if one has another digest.
    std::optional<Sections> sections = {};
    // 64 hexadecimal digits, used where `sections` is absent: the first Read goes through the whole
    // file in order, hashes it beside reading, and fails with DataLoss if the digest is another.
    // Empty: not checked.
    std::string sha256 = {};
    int threads = 0;  // that read sections; 0: as LoadThreads
    // Called during Read with the bytes done and the bytes to do.
    std::function<void(uint64_t, uint64_t)> progress = {};
  };
  struct Blob {
    uint64_t offset = 0;  // from the file's start
    uint64_t bytes = 0;
  };
  // A request and where its bytes are.
  struct Wanted {
    Blob blob;
    size_t request = 0;
  };

  // Checks header, index, every blob's place and the number of sections. InvalidArgument or the
  // errors of RandomAccessFile::Open.
  static absl::StatusOr<PtdFile> Open(const std::string& path, Options options);

  const std::map<std::string, Blob>& blobs() const { return blobs_; }
  uint64_t bytes() const { return file_.size(); }

  // Whether every request is in the file with its size; what Read says before it reads.
  absl::Status Check(std::span<const WeightRequest> requests) const {
    return Find(requests).status();
  }
  absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) override;

 private:
  PtdFile(RandomAccessFile file, std::map<std::string, Blob> blobs, Options options);
  absl::StatusOr<std::vector<Wanted>> Find(std::span<const WeightRequest> requests) const;
  // Reads the file in order, with a digest of all of it.
  absl::Status ReadInOrder(std::vector<Wanted> wanted, WeightSink& sink);
  // Reads sections in parallel, with their digests or with none.
  absl::Status ReadSections(std::vector<Wanted> wanted, WeightSink& sink);

  RandomAccessFile file_;
  std::map<std::string, Blob> blobs_;
  Options options_;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_PTD_FILE_H_
