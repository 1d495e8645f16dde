#include "cc/text/pattern_stream.h"

#include <algorithm>

namespace gemma {

PatternStream::PatternStream(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) automata_.push_back({pattern, Borders(pattern)});
}

std::vector<size_t> PatternStream::Borders(std::string_view pattern) {
  std::vector<size_t> borders(pattern.size());
  for (size_t end = 1, border = 0; end < pattern.size(); ++end) {
    while (border > 0 && pattern[border] != pattern[end]) border = borders[border - 1];
    if (pattern[border] == pattern[end]) ++border;
    borders[end] = border;
  }
  return borders;
}

// Whether the pattern ends with this byte.
bool PatternStream::Advance(Automaton& automaton, char byte) {
  size_t& matched = automaton.matched;
  if (matched == automaton.pattern.size()) matched = automaton.borders.back();
  while (matched > 0 && automaton.pattern[matched] != byte)
    matched = automaton.borders[matched - 1];
  if (automaton.pattern[matched] == byte) ++matched;
  return matched == automaton.pattern.size();
}

int PatternStream::Next(char byte) {
  int found = -1;
  for (size_t index = 0; index < automata_.size(); ++index) {
    if (!Advance(automata_[index], byte)) continue;
    if (found == -1 || automata_[index].pattern.size() > automata_[found].pattern.size())
      found = static_cast<int>(index);
  }
  return found;
}

size_t PatternStream::held() const {
  size_t held = 0;
  for (const Automaton& automaton : automata_) held = std::max(held, automaton.matched);
  return held;
}

void PatternStream::Reset() {
  for (Automaton& automaton : automata_) automaton.matched = 0;
}

}  // namespace gemma
