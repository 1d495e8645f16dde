#include "cc/runner/perplexity/reference_file.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"

namespace gemma::perplexity {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the file's numbers are copied as they are");

constexpr absl::string_view kMagic = "GEMMAREF";
constexpr uint32_t kVersion = 1;
constexpr uint64_t kHeaderBytes = 48;
constexpr uint64_t kDigestBytes = 64;
constexpr uint64_t kMaxVocabulary = 1 << 24;
constexpr uint64_t kMaxTokens = 1 << 28;

template <typename T>
void Append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
void AppendAll(std::string& bytes, const std::vector<T>& values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Takes values from the front of `bytes`, which has them.
template <typename T>
T Take(absl::string_view& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return value;
}

template <typename T>
std::vector<T> TakeAll(absl::string_view& bytes, size_t count) {
  std::vector<T> values(count);
  if (count > 0) std::memcpy(values.data(), bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
  return values;
}

std::span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

uint64_t PositionBytes(uint32_t top_k) { return 8 + uint64_t{8} * top_k; }

bool IsLogProbability(float value) { return value <= 1e-5f; }  // rounding aside; NaN is none

std::string PositionProblem(const ReferencePosition& position, uint32_t vocab_size) {
  if (!IsLogProbability(position.next_logprob) || !IsLogProbability(position.rest_logprob))
    return "has a log-probability that is none";
  std::vector<bool> seen(vocab_size, false);
  for (size_t i = 0; i < position.ids.size(); ++i) {
    const uint32_t id = position.ids[i];
    if (id >= vocab_size) return absl::StrCat("has the token ", id, " of ", vocab_size);
    if (seen[id]) return absl::StrCat("has the token ", id, " twice");
    seen[id] = true;
    if (!IsLogProbability(position.logprobs[i])) return "has a log-probability that is none";
    if (i > 0 && position.logprobs[i] > position.logprobs[i - 1])
      return "has log-probabilities that ascend";
  }
  return "";
}

}  // namespace

absl::StatusOr<ReferenceWriter> ReferenceWriter::Create(const std::string& path,
                                                        const ReferenceHeader& header) {
  GEMMA_ASSIGN_OR_RETURN(PartialFile file, PartialFile::Create(path));
  GEMMA_ASSIGN_OR_RETURN(Sha256 sha256, Sha256::Create());
  ReferenceWriter writer(std::move(file), std::move(sha256));
  std::string bytes(kMagic);
  Append(bytes, kVersion);
  Append(bytes, header.vocab_size);
  Append(bytes, header.top_k);
  Append(bytes, header.window);
  Append(bytes, header.bos_id);
  Append(bytes, uint32_t{0});
  Append(bytes, static_cast<uint64_t>(header.tokens.size()));
  Append(bytes, header.positions);
  AppendAll(bytes, header.tokens);
  GEMMA_RETURN_IF_ERROR(writer.Write(bytes));
  return writer;
}

absl::Status ReferenceWriter::Write(absl::string_view bytes) {
  GEMMA_RETURN_IF_ERROR(sha256_.Update(AsBytes(bytes)));
  return file_.Write(bytes);
}

absl::Status ReferenceWriter::Add(const ReferencePosition& position) {
  std::string bytes;
  Append(bytes, position.next_logprob);
  Append(bytes, position.rest_logprob);
  AppendAll(bytes, position.ids);
  AppendAll(bytes, position.logprobs);
  return Write(bytes);
}

absl::Status ReferenceWriter::Finish() {
  GEMMA_ASSIGN_OR_RETURN(const std::string digest, sha256_.Finish());
  GEMMA_RETURN_IF_ERROR(file_.Write(digest));
  return file_.Commit();
}

absl::StatusOr<ReferenceReader> ReferenceReader::Open(const std::string& path) {
  GEMMA_ASSIGN_OR_RETURN(RandomAccessFile file, RandomAccessFile::Open(path));
  GEMMA_ASSIGN_OR_RETURN(Sha256 sha256, Sha256::Create());
  ReferenceReader reader(std::move(file), std::move(sha256));
  GEMMA_RETURN_IF_ERROR(reader.ReadHeader());
  return reader;
}

absl::Status ReferenceReader::Refuse(absl::string_view problem) const {
  return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": ", problem));
}

absl::StatusOr<std::string> ReferenceReader::Read(uint64_t bytes) {
  std::string text(bytes, '\0');
  GEMMA_RETURN_IF_ERROR(
      file_.ReadAt(offset_, {reinterpret_cast<std::byte*>(text.data()), text.size()}));
  GEMMA_RETURN_IF_ERROR(sha256_.Update(AsBytes(text)));
  offset_ += bytes;
  return text;
}

absl::Status ReferenceReader::ReadHeader() {
  if (file_.size() < kHeaderBytes) {
    return Refuse(absl::StrCat("has ", file_.size(), " bytes, but a reference has ", kHeaderBytes,
                               " before anything else"));
  }
  GEMMA_ASSIGN_OR_RETURN(const std::string text, Read(kHeaderBytes));
  absl::string_view bytes = text;
  if (!bytes.starts_with(kMagic)) return Refuse("is no reference that perplexity wrote");
  bytes.remove_prefix(kMagic.size());
  const auto version = Take<uint32_t>(bytes);
  if (version != kVersion) {
    return Refuse(absl::StrCat("has version ", version, ", but this program reads ", kVersion,
                               " (write the reference again)"));
  }
  header_.vocab_size = Take<uint32_t>(bytes);
  header_.top_k = Take<uint32_t>(bytes);
  header_.window = Take<uint32_t>(bytes);
  header_.bos_id = Take<int32_t>(bytes);
  const auto zero = Take<uint32_t>(bytes);
  const auto tokens = Take<uint64_t>(bytes);
  header_.positions = Take<uint64_t>(bytes);
  if (zero != 0) return Refuse(absl::StrCat("has ", zero, " where 0 must be"));
  GEMMA_RETURN_IF_ERROR(CheckHeader(tokens));
  GEMMA_ASSIGN_OR_RETURN(const std::string ids, Read(tokens * sizeof(uint32_t)));
  absl::string_view rest = ids;
  header_.tokens = TakeAll<uint32_t>(rest, tokens);
  return absl::OkStatus();
}

absl::Status ReferenceReader::CheckHeader(uint64_t tokens) {
  if (header_.vocab_size == 0 || header_.vocab_size > kMaxVocabulary)
    return Refuse(absl::StrCat("has a vocabulary of ", header_.vocab_size));
  if (header_.top_k == 0 || header_.top_k > header_.vocab_size) {
    return Refuse(
        absl::StrCat("has the ", header_.top_k, " most likely tokens of ", header_.vocab_size));
  }
  if (header_.window < 2) return Refuse(absl::StrCat("has windows of ", header_.window));
  if (tokens > kMaxTokens || header_.positions > kMaxTokens)
    return Refuse(absl::StrCat("has ", tokens, " tokens and ", header_.positions, " positions"));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t records,
                         CheckedMul(header_.positions, PositionBytes(header_.top_k)));
  GEMMA_ASSIGN_OR_RETURN(
      const uint64_t expected,
      CheckedAdd(records, kHeaderBytes + tokens * sizeof(uint32_t) + kDigestBytes));
  if (file_.size() == expected) return absl::OkStatus();
  return Refuse(absl::StrCat("has ", file_.size(), " bytes, but its header asks for ", expected,
                             " (was it copied whole?)"));
}

absl::StatusOr<ReferencePosition> ReferenceReader::Next() {
  const uint64_t number = (offset_ - kHeaderBytes - header_.tokens.size() * sizeof(uint32_t)) /
                          PositionBytes(header_.top_k);
  GEMMA_ASSIGN_OR_RETURN(const std::string text, Read(PositionBytes(header_.top_k)));
  absl::string_view bytes = text;
  ReferencePosition position;
  position.next_logprob = Take<float>(bytes);
  position.rest_logprob = Take<float>(bytes);
  position.ids = TakeAll<uint32_t>(bytes, header_.top_k);
  position.logprobs = TakeAll<float>(bytes, header_.top_k);
  const std::string problem = PositionProblem(position, header_.vocab_size);
  if (!problem.empty()) return Refuse(absl::StrCat("position ", number, " ", problem));
  return position;
}

absl::Status ReferenceReader::Finish() {
  GEMMA_ASSIGN_OR_RETURN(const std::string digest, sha256_.Finish());
  std::string stored(kDigestBytes, '\0');
  GEMMA_RETURN_IF_ERROR(
      file_.ReadAt(offset_, {reinterpret_cast<std::byte*>(stored.data()), stored.size()}));
  if (digest == stored) return absl::OkStatus();
  return Refuse("its bytes do not have the digest at its end (write the reference again)");
}

}  // namespace gemma::perplexity
