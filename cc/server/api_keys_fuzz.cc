// Whatever a file of API keys holds, it is refused in a sentence that shows no key, or each of its
// keys is found, and nothing that is almost one.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "build/fuzzing/harness.h"
#include "cc/server/api_keys.h"

namespace gemma::fuzzing {
namespace {

// Whether it could be a key. Of other lines a refusal may have the same words by chance.
bool IsKey(absl::string_view line) {
  return line.size() >= 16 && std::ranges::all_of(line, [](char c) {
           return absl::ascii_isgraph(static_cast<unsigned char>(c));
         });
}

// Those that are neither empty nor a comment.
std::vector<absl::string_view> Lines(absl::string_view bytes) {
  std::vector<absl::string_view> lines;
  for (absl::string_view line : absl::StrSplit(bytes, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty() && line[0] != '#') lines.push_back(line);
  }
  return lines;
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  const absl::StatusOr<server::ApiKeys> keys = server::ApiKeys::Parse(bytes, "keys.txt");
  if (!keys.ok()) CheckRefusal(keys.status());
  const std::vector<absl::string_view> lines = Lines(bytes);
  for (const absl::string_view line : lines) {
    if (!keys.ok()) {
      Check(!IsKey(line) || !absl::StrContains(keys.status().message(), line),
            "a refusal shows no key");
      continue;
    }
    Check(keys->Find(line).has_value(), "a key is found:", line);
    const absl::string_view part = line.substr(1);
    Check(!keys->Find(part).has_value() || std::ranges::find(lines, part) != lines.end(),
          "a part of a key is no key:", line);
  }
  Check(!keys.ok() || (keys->size() == lines.size() && !keys->empty()), "each line is a key");
  return keys.ok();
}

std::vector<std::string> Seeds() {
  return {"# agents\nsk-0123456789abcdef\n\n  sk-another-key-of-ours  \r\n"};
}

}  // namespace gemma::fuzzing
