// What a model said of a text, as a file, for another model to be compared with. Little-endian:
//
//   bytes  0   "GEMMAREF"
//          8   uint32 version, 1
//         12   uint32 vocabulary size
//         16   uint32 top_k, 1 to the vocabulary's size
//         20   uint32 window: tokens of a window, its BOS included, 2 or more
//         24   int32  BOS at the start of each window; -1: none
//         28   uint32 0
//         32   uint64 tokens of the text, without BOS
//         40   uint64 positions
//         48   uint32 [tokens]: the text
//   then for each position: float32 log-probability of the token that follows, float32 that of the
//   rest, uint32 [top_k] ids, float32 [top_k] log-probabilities (divergence.h)
//   then 64 hexadecimal digits: SHA-256 of all bytes before them
//
// A file is believed only once its digest was compared, which is when its last position was read.
#ifndef CC_RUNNER_PERPLEXITY_REFERENCE_FILE_H_
#define CC_RUNNER_PERPLEXITY_REFERENCE_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/base/file.h"
#include "cc/base/sha256.h"
#include "cc/base/write_file.h"
#include "cc/runner/perplexity/divergence.h"

namespace gemma::perplexity {

struct ReferenceHeader {
  uint32_t vocab_size = 0;
  uint32_t top_k = 0;
  uint32_t window = 0;
  int32_t bos_id = -1;
  uint64_t positions = 0;
  std::vector<uint32_t> tokens = {};
};

class ReferenceWriter {
 public:
  static absl::StatusOr<ReferenceWriter> Create(const std::string& path,
                                                const ReferenceHeader& header);

  // As many as the header says, in order.
  absl::Status Add(const ReferencePosition& position);

  // Puts the file in place. Call once, last.
  absl::Status Finish();

 private:
  ReferenceWriter(PartialFile file, Sha256 sha256)
      : file_(std::move(file)), sha256_(std::move(sha256)) {}
  absl::Status Write(absl::string_view bytes);

  PartialFile file_;
  Sha256 sha256_;
};

class ReferenceReader {
 public:
  // Errors name the file. InvalidArgument where its size, or anything in its header, cannot be.
  static absl::StatusOr<ReferenceReader> Open(const std::string& path);

  const ReferenceHeader& header() const { return header_; }

  // The next position; as many as the header says. InvalidArgument for numbers that cannot be.
  absl::StatusOr<ReferencePosition> Next();

  // Compares the digest. Call once, after the last position.
  absl::Status Finish();

 private:
  ReferenceReader(RandomAccessFile file, Sha256 sha256)
      : file_(std::move(file)), sha256_(std::move(sha256)) {}
  absl::StatusOr<std::string> Read(uint64_t bytes);
  absl::Status ReadHeader();
  absl::Status CheckHeader(uint64_t tokens);
  absl::Status Refuse(absl::string_view problem) const;

  RandomAccessFile file_;
  Sha256 sha256_;
  uint64_t offset_ = 0;
  ReferenceHeader header_;
};

}  // namespace gemma::perplexity

#endif  // CC_RUNNER_PERPLEXITY_REFERENCE_FILE_H_
