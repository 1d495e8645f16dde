#include "cc/engine/strict_json.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr size_t kShownBytes = 60;

// What a message shows of a value.
std::string Shown(const json& value) {
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + "...";
  return text;
}

// Watches the parser for what json::parse lets pass.
class Watcher {
 public:
  bool operator()(int depth, json::parse_event_t event, json& value) {
    switch (event) {
      case json::parse_event_t::object_start:
        keys_.emplace_back();
        break;
      case json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      case json::parse_event_t::key:
        if (!keys_.back().insert(value.get<std::string>()).second && problem_.empty()) {
          problem_ = absl::StrCat("has the key ", Shown(value), " twice");
        }
        break;
      default:
        break;
    }
    if (depth > kMaxDepth) problem_ = absl::StrCat("is nested deeper than ", kMaxDepth, " levels");
    return problem_.empty();
  }

  const std::string& problem() const { return problem_; }

 private:
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  std::string problem_;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(const std::string& text, const std::string& where) {
  Watcher watcher;
  json document = json::parse(
      text,
      [&](int depth, json::parse_event_t event, json& value) {
        return watcher(depth, event, value);
      },
      /*allow_exceptions=*/false);
  if (!watcher.problem().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", watcher.problem()));
  }
  // The parser ends at a zero byte, whatever follows it.
  if (document.is_discarded() || text.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": is not JSON (truncated or damaged)"));
  }
  return document;
}

absl::Status StrictObject::Refuse(const std::string& key, absl::string_view problem) const {
  return absl::InvalidArgumentError(absl::StrCat(where_, ": ", key, " of ", name_, " ", problem));
}

absl::StatusOr<const json*> StrictObject::Get(const std::string& key) {
  if (!value_.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where_, ": ", name_, " is ", Shown(value_), ", not an object"));
  }
  const auto found = value_.find(key);
  if (found == value_.end()) return Refuse(key, "is missing");
  read_.insert(key);
  return &*found;
}

absl::StatusOr<std::string> StrictObject::Text(const std::string& key) {
  GEMMA_ASSIGN_OR_RETURN(const json* value, Get(key));
  if (!value->is_string()) return Refuse(key, absl::StrCat("is ", Shown(*value), ", not a string"));
  return value->get<std::string>();
}

absl::StatusOr<bool> StrictObject::Boolean(const std::string& key) {
  GEMMA_ASSIGN_OR_RETURN(const json* value, Get(key));
  if (!value->is_boolean())
    return Refuse(key, absl::StrCat("is ", Shown(*value), ", not true or false"));
  return value->get<bool>();
}

absl::StatusOr<int64_t> StrictObject::Integer(const std::string& key, int64_t least, int64_t most) {
  GEMMA_ASSIGN_OR_RETURN(const json* value, Get(key));
  const bool fits =
      value->is_number_integer() &&
      !(value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  if (!fits || value->get<int64_t>() < least || value->get<int64_t>() > most) {
    return Refuse(
        key, absl::StrCat("is ", Shown(*value), ", not an integer from ", least, " to ", most));
  }
  return value->get<int64_t>();
}

absl::StatusOr<double> StrictObject::Number(const std::string& key, double least, double most) {
  GEMMA_ASSIGN_OR_RETURN(const json* value, Get(key));
  // Written so that NaN is refused, too.
  if (!value->is_number() || !(value->get<double>() >= least && value->get<double>() <= most)) {
    return Refuse(key,
                  absl::StrCat("is ", Shown(*value), ", not a number from ", least, " to ", most));
  }
  return value->get<double>();
}

absl::StatusOr<const json*> StrictObject::Object(const std::string& key) {
  GEMMA_ASSIGN_OR_RETURN(const json* value, Get(key));
  if (!value->is_object())
    return Refuse(key, absl::StrCat("is ", Shown(*value), ", not an object"));
  return value;
}

absl::StatusOr<const json*> StrictObject::Array(const std::string& key) {
  GEMMA_ASSIGN_OR_RETURN(const json* value, Get(key));
  if (!value->is_array()) return Refuse(key, absl::StrCat("is ", Shown(*value), ", not an array"));
  return value;
}

absl::Status StrictObject::Finish() const {
  for (const auto& [key, value] : value_.items()) {
    if (!read_.contains(key)) {
      return Refuse(Shown(json(key)), "is unknown (this program reads format_version 1 only)");
    }
  }
  return absl::OkStatus();
}

}  // namespace gemma
