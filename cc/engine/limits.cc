#include "cc/engine/limits.h"

#include "absl/strings/str_cat.h"

namespace gemma {

absl::Status CheckRoom(const EngineLimits& limits, int64_t position, size_t tokens) {
  if (tokens == 0) return absl::InvalidArgumentError("there are no tokens");
  if (static_cast<int64_t>(tokens) <= limits.max_seq_len - position) return absl::OkStatus();
  if (position == 0) {
    return absl::OutOfRangeError(absl::StrCat(
        "the prompt has ", tokens, " tokens, but the context of this artifact ends at ",
        limits.max_seq_len, " (shorten the prompt, or export with a larger --max_seq_len)"));
  }
  return absl::OutOfRangeError(absl::StrCat(
      position, " positions are in use and ", tokens,
      " tokens follow, but the context of this artifact ends at ", limits.max_seq_len));
}

}  // namespace gemma
