// What a message shows of a text that a stranger wrote: one line, and not a long one, so that a
// refusal stays a sentence whatever is refused.
#ifndef CC_BASE_SHOWN_H_
#define CC_BASE_SHOWN_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace gemma {

inline constexpr size_t kShownBytes = 60;

// The text's first `most` bytes, whole characters, with control characters as C escapes them; "..."
// follows where it was cut.
std::string Shown(absl::string_view text, size_t most = kShownBytes);

}  // namespace gemma

#endif  // CC_BASE_SHOWN_H_
