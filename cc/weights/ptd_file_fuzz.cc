// Whatever the bytes of a .ptd file, it is refused in a sentence, or every blob lies within it and
// is delivered as it stands there, each byte once: in order with a digest, and in sections.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "build/fuzzing/memory_file.h"
#include "cc/base/sha256.h"
#include "cc/weights/ptd_file.h"
#include "cc/weights/testing/ptd_writer.h"

namespace gemma::fuzzing {
namespace {

constexpr uint64_t kMostWanted = 1 << 20;
constexpr uint64_t kSectionBytes = 1 << 20;

std::span<const std::byte> AsBytes(absl::string_view text) {
  return std::as_bytes(std::span(text));
}

// Memory for requests of a single thread. Counts the bytes that it took.
class CountingSink final : public WeightSink {
 public:
  explicit CountingSink(const std::vector<WeightRequest>& requests) {
    for (const WeightRequest& request : requests) contents_.emplace_back(request.bytes);
  }

  int max_reserved() const override { return 2; }
  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    Check(piece.index < contents_.size(), "a piece is of a request");
    const uint64_t size = contents_[piece.index].size();
    Check(piece.offset <= size && piece.size <= size - piece.offset,
          "a piece lies within its weight");
    return contents_[piece.index].data() + piece.offset;
  }
  absl::Status Accept(const WeightPiece& piece, std::byte*) override {
    accepted_ += piece.size;
    return absl::OkStatus();
  }

  const std::vector<std::vector<std::byte>>& contents() const { return contents_; }
  uint64_t accepted() const { return accepted_; }

 private:
  std::vector<std::vector<std::byte>> contents_;
  uint64_t accepted_ = 0;
};

// As many blobs as fit the memory of a test: several may be of the same bytes.
std::vector<WeightRequest> Wanted(const PtdFile& file) {
  std::vector<WeightRequest> requests;
  uint64_t bytes = 0;
  for (const auto& [key, blob] : file.blobs()) {
    if (bytes + blob.bytes > kMostWanted) break;
    bytes += blob.bytes;
    requests.push_back({key, blob.bytes});
  }
  return requests;
}

void CheckRead(absl::string_view bytes, PtdFile file) {
  const std::vector<WeightRequest> requests = Wanted(file);
  CountingSink sink(requests);
  Check(file.Read(requests, sink).ok(), "blobs of an accepted file can be read");
  uint64_t wanted = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const PtdFile::Blob blob = file.blobs().at(requests[i].key);
    const auto there = AsBytes(bytes).subspan(blob.offset, blob.bytes);
    Check(std::ranges::equal(there, sink.contents()[i]),
          "a blob is delivered as it is in the file");
    wanted += blob.bytes;
  }
  Check(sink.accepted() == wanted, "each byte is delivered once");
  std::vector<WeightRequest> wrong = {{"no such key", 1}};
  Check(!file.Check(wrong).ok() || file.blobs().contains("no such key"),
        "a key that is not there is refused");
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  const MemoryFile memory(bytes);
  absl::StatusOr<PtdFile> file = PtdFile::Open(memory.path(), {.threads = 1});
  if (!file.ok()) {
    CheckRefusal(file.status());
    return false;
  }
  for (const auto& [key, blob] : file->blobs()) {
    Check(blob.offset <= bytes.size() && blob.bytes <= bytes.size() - blob.offset,
          "a blob lies within its file:", key);
  }
  const std::string digest = *Sha256Hex(AsBytes(bytes));
  CheckRead(bytes, *std::move(file));
  CheckRead(bytes, *PtdFile::Open(memory.path(), {.sha256 = digest, .threads = 1}));
  if (bytes.size() <= kSectionBytes)
    CheckRead(bytes,
              *PtdFile::Open(memory.path(), {.sections = PtdFile::Sections{kSectionBytes, {digest}},
                                             .threads = 1}));
  return true;
}

std::vector<std::string> Seeds() {
  const auto blob = [](size_t size, uint8_t first) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = std::byte{first++};
    return bytes;
  };
  return {WritePtd(
              {{"layers.0.weight", blob(100, 1)}, {"layers.1.weight", blob(300, 5)}, {"none", {}}}),
          WritePtd({{"a", blob(16, 9)}})};
}

}  // namespace gemma::fuzzing
