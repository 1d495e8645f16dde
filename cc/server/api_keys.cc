#include "cc/server/api_keys.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cc/base/file.h"
#include "cc/base/sha256.h"
#include "cc/base/status_macros.h"

namespace gemma::server {
namespace {

constexpr size_t kMinLength = 16;
constexpr uint64_t kMaxFileBytes = 1 << 20;

absl::StatusOr<std::string> Digest(absl::string_view key) {
  return Sha256Hex(std::as_bytes(std::span(key.data(), key.size())));
}

// Looks at every byte of both, which are equally long.
bool SameDigest(absl::string_view a, absl::string_view b) {
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference = difference | static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

absl::Status CheckKey(absl::string_view key, absl::string_view where) {
  const bool plain = std::ranges::all_of(
      key, [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
  if (!plain) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": the key has a space or a character that is not ASCII"));
  }
  if (key.size() >= kMinLength) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": the key has ", key.size(), " characters (at least ", kMinLength, " are needed)"));
}

}  // namespace

absl::StatusOr<ApiKeys> ApiKeys::Parse(absl::string_view text, absl::string_view path) {
  ApiKeys keys;
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::string where = absl::StrCat(path, ":", line_number);
    GEMMA_RETURN_IF_ERROR(CheckKey(line, where));
    GEMMA_ASSIGN_OR_RETURN(std::string digest, Digest(line));
    if (std::ranges::find(keys.digests_, digest) != keys.digests_.end())
      return absl::InvalidArgumentError(absl::StrCat(where, ": the key is there twice"));
    keys.digests_.push_back(std::move(digest));
  }
  if (!keys.empty()) return keys;
  return absl::InvalidArgumentError(absl::StrCat(path, ": has no keys (write one a line)"));
}

absl::StatusOr<ApiKeys> ApiKeys::Read(const std::string& path) {
  GEMMA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  return Parse(text, path);
}

std::optional<std::string> ApiKeys::Find(absl::string_view key) const {
  if (empty()) return "";
  const absl::StatusOr<std::string> digest = Digest(key);
  if (!digest.ok()) return std::nullopt;
  std::optional<std::string> found;
  for (size_t i = 0; i < digests_.size(); ++i) {
    if (SameDigest(*digest, digests_[i])) found = absl::StrCat("key ", i + 1);
  }
  return found;
}

}  // namespace gemma::server
