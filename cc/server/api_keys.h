// API keys: who may ask. Keys come from a file and are compared in constant time, by their digests,
// so that neither a key's length nor how much of it was guessed shows in the time.
#ifndef CC_SERVER_API_KEYS_H_
#define CC_SERVER_API_KEYS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma::server {

class ApiKeys {
 public:
  // No keys: everybody may ask.
  ApiKeys() = default;

  // One key a line; empty lines and those that begin with # do not count. InvalidArgument, naming
  // the line, for keys of fewer than 16 characters, with spaces, or there twice, and for a file
  // without any.
  static absl::StatusOr<ApiKeys> Read(const std::string& path);
  static absl::StatusOr<ApiKeys> Parse(absl::string_view text, absl::string_view path);

  bool empty() const { return digests_.empty(); }
  size_t size() const { return digests_.size(); }

  // "key 2", for the second one; none for no key of ours. "" for everybody where there are no keys.
  std::optional<std::string> Find(absl::string_view key) const;

 private:
  std::vector<std::string> digests_;  // SHA-256, 64 hexadecimal digits
};

}  // namespace gemma::server

#endif  // CC_SERVER_API_KEYS_H_
