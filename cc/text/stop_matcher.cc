#include "cc/text/stop_matcher.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/text/utf8.h"

namespace gemma {

absl::StatusOr<StopMatcher> StopMatcher::Create(const std::vector<int32_t>& ids,
                                                const std::vector<std::string>& strings) {
  for (size_t index = 0; index < strings.size(); ++index) {
    if (strings[index].empty())
      return absl::InvalidArgumentError(absl::StrCat("stop string ", index, " is empty"));
    if (ValidUtf8Prefix(strings[index]) != strings[index].size()) {
      return absl::InvalidArgumentError(absl::StrCat("stop string ", index, " is not valid UTF-8"));
    }
  }
  return StopMatcher(ids, strings);
}

StopMatcher::Output StopMatcher::Add(std::string_view text) {
  if (!found_.empty()) return {"", true};
  for (const char byte : text) {
    held_ += byte;
    const int pattern = patterns_.Next(byte);
    if (pattern == -1) continue;
    found_ = patterns_.pattern(pattern);
    held_.resize(held_.size() - found_.size());
    return {std::exchange(held_, {}), true};
  }
  const size_t safe = held_.size() - patterns_.held();
  Output output{held_.substr(0, safe), false};
  held_.erase(0, safe);
  return output;
}

std::string StopMatcher::Finish() {
  patterns_.Reset();
  return std::exchange(held_, {});
}

}  // namespace gemma
