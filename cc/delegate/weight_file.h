// The .ptd file: ExecuTorch's FlatTensor format, read by us instead of by FlatTensorDataMap, which
// (1.5.1) follows the file's offsets without verifying them and so crashes on a corrupt file. Here
// the FlatBuffers verifier runs first, every offset is checked against the file's size, and bytes
// are read (not mapped), so that a file that shrinks is an error and not a signal.
#ifndef CC_DELEGATE_WEIGHT_FILE_H_
#define CC_DELEGATE_WEIGHT_FILE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/base/file.h"
#include "cc/delegate/weight_source.h"

namespace gemma {

class WeightFile final : public WeightSource {
 public:
  struct Options {
    // 64 hexadecimal digits: the first Read goes through the whole file in order, hashes it beside
    // reading, and fails with DataLoss if the digest is another. Empty: not checked.
    std::string sha256;
    // Called during Read with the bytes done and the bytes to do.
    std::function<void(uint64_t, uint64_t)> progress;
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

  // Checks header, index and every blob's place. InvalidArgument or the errors of
  // RandomAccessFile::Open.
  static absl::StatusOr<WeightFile> Open(const std::string& path, Options options);

  const std::map<std::string, Blob>& blobs() const { return blobs_; }
  uint64_t bytes() const { return file_.size(); }

  absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) override;

 private:
  WeightFile(RandomAccessFile file, std::map<std::string, Blob> blobs, Options options);
  absl::StatusOr<std::vector<Wanted>> Find(std::span<const WeightRequest> requests) const;
  absl::Status CheckDigest(const std::string& digest);

  RandomAccessFile file_;
  std::map<std::string, Blob> blobs_;
  Options options_;
};

}  // namespace gemma

#endif  // CC_DELEGATE_WEIGHT_FILE_H_
