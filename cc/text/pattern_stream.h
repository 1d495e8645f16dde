// PatternStream: finds strings in text that comes byte by byte, and says how much of its end could
// still become one.
//
// One automaton a pattern (Knuth, Morris and Pratt),
// so overlaps are never missed: aab is found in aaab.
#ifndef CC_TEXT_PATTERN_STREAM_H_
#define CC_TEXT_PATTERN_STREAM_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gemma {

class PatternStream {
 public:
  // Requires that no pattern is empty.
  explicit PatternStream(const std::vector<std::string>& patterns);

  // Takes the next byte. The index of the pattern that ends with it, the longest if there are
  // several; -1: none.
  int Next(char byte);

  // How many of the last bytes are the beginning of some pattern.
  size_t held() const;

  // Forgets all bytes so far.
  void Reset();

  const std::string& pattern(int index) const { return automata_[index].pattern; }

 private:
  struct Automaton {
    std::string pattern;
    // [pattern.size()]: of its first i + 1 bytes, how many at the end are also at the beginning,
    // not counting them all.
    std::vector<size_t> borders;
    size_t matched = 0;  // how many of the last bytes are the beginning of the pattern
  };

  static std::vector<size_t> Borders(std::string_view pattern);
  static bool Advance(Automaton& automaton, char byte);

  std::vector<Automaton> automata_;
};

}  // namespace gemma

#endif  // CC_TEXT_PATTERN_STREAM_H_
