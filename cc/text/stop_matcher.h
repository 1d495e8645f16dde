// StopMatcher: ends a generated text at stop ids and stop strings. Text that could be the beginning
// of a stop string is held back until it is known not to be one, so a stop string never shows,
// however tokens cut it.
//
//   if (matcher.IsStopId(id)) { Print(matcher.Finish()); break; }
//   StopMatcher::Output output = matcher.Add(decoder.Add(id));
//   Print(output.text);
//   if (output.stopped) break;
#ifndef CC_TEXT_STOP_MATCHER_H_
#define CC_TEXT_STOP_MATCHER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "cc/text/pattern_stream.h"

namespace gemma {

class StopMatcher {
 public:
  struct Output {
    std::string text;      // safe to print; whole characters when the input was
    bool stopped = false;  // a stop string has come; nothing follows
  };

  // InvalidArgument when a string is empty or not valid UTF-8.
  static absl::StatusOr<StopMatcher> Create(const std::vector<int32_t>& ids,
                                            const std::vector<std::string>& strings);

  bool IsStopId(int32_t id) const { return ids_.contains(id); }

  // The stop string that ends first wins;
  // of several that end together, the longest. Text after it is dropped.
  Output Add(std::string_view text);

  // Ends the text: what was held back. Empty once stopped.
  std::string Finish();

  // The stop string that was found; empty while there is none.
  const std::string& found() const { return found_; }

 private:
  StopMatcher(const std::vector<int32_t>& ids, const std::vector<std::string>& strings)
      : ids_(ids.begin(), ids.end()), patterns_(strings) {}

  absl::flat_hash_set<int32_t> ids_;
  PatternStream patterns_;
  std::string held_;
  std::string found_;
};

}  // namespace gemma

#endif  // CC_TEXT_STOP_MATCHER_H_
