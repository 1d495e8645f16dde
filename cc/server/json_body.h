// The JSON of a request's body. A stranger wrote it: its depth and the number of its values are
// limited before memory is taken for them, and keys are unique.
#ifndef CC_SERVER_JSON_BODY_H_
#define CC_SERVER_JSON_BODY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace gemma::server {

// Keeps the order of keys, which a JSON schema's properties need.
using Json = nlohmann::ordered_json;

inline constexpr int kMaxJsonDepth = 64;
inline constexpr int kMaxJsonKeys = 1000;         // of one object
inline constexpr int kMaxJsonValues = 1'000'000;  // of a body

// InvalidArgument for text that is not JSON (NaN, a number beyond float64, invalid UTF-8 and lone
// surrogates included), or exceeds a limit.
absl::StatusOr<Json> ParseBody(const std::string& body);

// One line. Bytes that are not UTF-8 become U+FFFD.
std::string Dump(const Json& json);

// What a message shows of a value.
std::string Shown(const Json& value);

}  // namespace gemma::server

#endif  // CC_SERVER_JSON_BODY_H_
