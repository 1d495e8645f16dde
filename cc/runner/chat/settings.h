// How a chat's answers are written, which /set changes while it goes on.
#ifndef CC_RUNNER_CHAT_SETTINGS_H_
#define CC_RUNNER_CHAT_SETTINGS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/engine/manifest.h"

namespace gemma::chat {

struct Settings {
  SamplingParams sampling = {};
  int64_t max_new_tokens = 2048;
  bool thinking = false;       // whether the model is asked to think
  bool shows_thoughts = true;  // whether its thoughts are shown

  bool operator==(const Settings&) const = default;
};

// "temperature 0.7". InvalidArgument, which leaves the settings as they are, for a name that there
// is none of and a value that is not allowed.
absl::Status ChangeSetting(absl::string_view name_and_value, Settings& settings);

// Every setting and its value, a line each, as ChangeSetting takes them.
std::string DescribeSettings(const Settings& settings);

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_SETTINGS_H_
