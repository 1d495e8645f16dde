// Whatever the bytes of a reference, they are refused in a sentence, or every position holds tokens
// of the vocabulary and log-probabilities. Since no damage survives the digest at a file's end,
// each input is read with the right one, too.

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "build/fuzzing/memory_file.h"
#include "cc/base/sha256.h"
#include "cc/runner/perplexity/reference_file.h"

namespace gemma::fuzzing {
namespace {

using perplexity::ReferenceHeader;
using perplexity::ReferencePosition;
using perplexity::ReferenceReader;

constexpr size_t kDigestBytes = 64;

std::string WithDigest(std::string text) {
  return text + *Sha256Hex(std::as_bytes(std::span<const char>(text)));
}

void CheckPosition(const ReferenceHeader& header, const ReferencePosition& position) {
  Check(position.ids.size() == header.top_k && position.logprobs.size() == header.top_k,
        "top_k tokens are kept");
  for (const uint32_t id : position.ids)
    Check(id < header.vocab_size, "an id is of the vocabulary");
  for (const float logprob : position.logprobs)
    Check(!std::isnan(logprob), "a log-probability is a number");
}

bool Reads(absl::string_view bytes) {
  const MemoryFile file(bytes);
  absl::StatusOr<ReferenceReader> reader = ReferenceReader::Open(file.path());
  absl::Status status = reader.status();
  for (uint64_t i = 0; status.ok() && i < reader->header().positions; ++i) {
    const absl::StatusOr<ReferencePosition> position = reader->Next();
    status = position.status();
    if (position.ok()) CheckPosition(reader->header(), *position);
  }
  if (status.ok()) status = reader->Finish();
  if (!status.ok()) CheckRefusal(status);
  return status.ok();
}

template <typename T>
void Append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  if (bytes.size() > kDigestBytes)
    Reads(WithDigest(std::string(bytes.substr(0, bytes.size() - kDigestBytes))));
  return Reads(bytes);
}

// A text of three tokens, of whose two windows one position each is kept: docs in reference_file.h.
std::vector<std::string> Seeds() {
  std::string file = "GEMMAREF";
  for (const uint32_t number : {1, 5, 2, 16}) Append(file, number);
  Append(file, int32_t{4});
  Append(file, uint32_t{0});
  Append(file, uint64_t{3});
  Append(file, uint64_t{2});
  for (const uint32_t token : {1, 2, 3}) Append(file, token);
  for (int position = 0; position < 2; ++position) {
    for (const float number : {-0.7f, -1.4f}) Append(file, number);
    for (const uint32_t id : {1, 3}) Append(file, id);
    for (const float number : {-0.7f, -1.4f}) Append(file, number);
  }
  return {WithDigest(file)};
}

}  // namespace gemma::fuzzing
