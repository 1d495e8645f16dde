// ThinkingSplitter: tells a model's thoughts from its answer while both stream. Gemma 4 writes
//
//   <|channel>thought\n...<channel|>answer
//
// The markers never show. Everything outside of a channel is the answer, so the splitter also works
// where thinking is off. A closer without an opener and an opener inside a channel are dropped; a
// channel that is never closed lasts to the end. A marker may be cut over any number of tokens:
// text that could be the beginning of one is held back.
//
// Feed it text in which the markers are still spelled out: DecodeOptions::keep_control =
// ChatTemplate::thought_markers().
#ifndef CC_TEXT_THINKING_SPLITTER_H_
#define CC_TEXT_THINKING_SPLITTER_H_

#include <string>
#include <string_view>

#include "cc/text/pattern_stream.h"

namespace gemma {

inline constexpr std::string_view kThoughtOpener = "<|channel>";
inline constexpr std::string_view kThoughtCloser = "<channel|>";
// What follows the opener; it is not part of the thought.
inline constexpr std::string_view kThoughtTitle = "thought\n";

class ThinkingSplitter {
 public:
  struct Text {
    std::string thought;
    std::string answer;
  };

  ThinkingSplitter();

  // The text that `text` makes certain.
  Text Add(std::string_view text);

  // Ends the text: what was held back.
  Text Finish();

  // Whether a channel is open; after Finish: whether it was never closed.
  bool in_thought() const { return place_ != Place::kAnswer; }

 private:
  enum class Place { kAnswer, kTitle, kThought };

  void AddPlain(std::string_view text, Text& output);
  void AddMarker(bool opener, Text& output);
  void EndTitle(Text& output);

  PatternStream markers_;
  std::string held_;   // the beginning of a marker
  std::string title_;  // in kTitle: the beginning of kThoughtTitle
  Place place_ = Place::kAnswer;
};

}  // namespace gemma

#endif  // CC_TEXT_THINKING_SPLITTER_H_
