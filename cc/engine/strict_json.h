// JSON that somebody else wrote, read key by key: every value's type and range is checked, and
// Finish refuses what nobody asked for.
//
//   GEMMA_ASSIGN_OR_RETURN(const nlohmann::json document, ParseStrictJson(text,
//   "model/manifest.json")); StrictObject object(document, "model/manifest.json", "the manifest");
//   GEMMA_ASSIGN_OR_RETURN(const int64_t version, object.Integer("format_version", 1, 1));
//   GEMMA_RETURN_IF_ERROR(object.Finish());
#ifndef CC_ENGINE_STRICT_JSON_H_
#define CC_ENGINE_STRICT_JSON_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace gemma {

// Refuses text that is not JSON, is nested deeper than 64 levels, or has a key twice in one object.
absl::StatusOr<nlohmann::json> ParseStrictJson(const std::string& text, const std::string& where);

class StrictObject {
 public:
  // `value` must outlive this; `name` is what messages call it ("the manifest", "'tokenizer'").
  StrictObject(const nlohmann::json& value, std::string where, std::string name)
      : value_(value), where_(std::move(where)), name_(std::move(name)) {}

  // Whether the key is there, for the few that may be absent.
  bool Has(const std::string& key) const { return value_.is_object() && value_.contains(key); }

  // The value under `key`, marked as read. InvalidArgument when it is missing or this is no object.
  absl::StatusOr<const nlohmann::json*> Get(const std::string& key);

  absl::StatusOr<std::string> Text(const std::string& key);
  absl::StatusOr<bool> Boolean(const std::string& key);
  absl::StatusOr<int64_t> Integer(const std::string& key, int64_t least, int64_t most);
  absl::StatusOr<double> Number(const std::string& key, double least, double most);
  absl::StatusOr<const nlohmann::json*> Object(const std::string& key);
  absl::StatusOr<const nlohmann::json*> Array(const std::string& key);

  // Refuses keys that were not read.
  absl::Status Finish() const;

  // "WHERE: KEY of NAME ...".
  absl::Status Refuse(const std::string& key, absl::string_view problem) const;

 private:
  const nlohmann::json& value_;
  const std::string where_;
  const std::string name_;
  std::set<std::string> read_;
};

}  // namespace gemma

#endif  // CC_ENGINE_STRICT_JSON_H_
