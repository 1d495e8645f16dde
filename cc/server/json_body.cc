#include "cc/server/json_body.h"

#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace gemma::server {
namespace {

constexpr size_t kShownBytes = 60;

// Watches the parser, and keeps it from storing anything once a limit is exceeded.
class Watcher {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (!problem_.empty()) return false;
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key) AddKey(value);
    if (event == Event::value || event == Event::array_start || event == Event::object_start)
      Count();
    if (depth > kMaxJsonDepth) Fail(absl::StrCat("is nested deeper than ", kMaxJsonDepth));
    return problem_.empty();
  }

  const std::string& problem() const { return problem_; }

 private:
  void AddKey(const Json& key) {
    std::set<std::string>& keys = keys_.back();
    if (!keys.insert(key.get<std::string>()).second)
      Fail(absl::StrCat("has the key ", Shown(key), " twice"));
    if (keys.size() > kMaxJsonKeys)
      Fail(absl::StrCat("has an object of more than ", kMaxJsonKeys, " keys"));
  }

  void Count() {
    if (++values_ > kMaxJsonValues) Fail(absl::StrCat("has more than ", kMaxJsonValues, " values"));
  }

  void Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  int64_t values_ = 0;
  std::string problem_;
};

}  // namespace

absl::StatusOr<Json> ParseBody(const std::string& body) {
  Watcher watcher;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    return watcher(depth, event, value);
  };
  Json document = Json::parse(body, watch, /*allow_exceptions=*/false);
  if (!watcher.problem().empty())
    return absl::InvalidArgumentError(absl::StrCat("the body ", watcher.problem()));
  // The parser ends at a zero byte, whatever follows it.
  if (document.is_discarded() || body.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        "the body is not JSON (it is cut off, is not UTF-8, or has a number beyond float64)");
  }
  return document;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

std::string Shown(const Json& value) {
  if (value.is_object() && !value.empty()) return "an object";
  if (value.is_array() && !value.empty()) return "an array";
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + "...";
  return text;
}

}  // namespace gemma::server
