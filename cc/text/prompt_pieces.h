// Collects the pieces of a prompt. Neighbouring texts become one, since the ids of a text depend on
// what is beside it.
#ifndef CC_TEXT_PROMPT_PIECES_H_
#define CC_TEXT_PROMPT_PIECES_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cc/text/conversation.h"

namespace gemma {

class PromptPieces {
 public:
  void Special(std::string_view token) { pieces_.push_back({true, std::string(token)}); }

  void Text(std::string_view text) {
    if (text.empty()) return;
    if (pieces_.empty() || pieces_.back().special) pieces_.push_back({false, ""});
    pieces_.back().text += text;
  }

  std::vector<PromptPiece> Take() { return std::move(pieces_); }

 private:
  std::vector<PromptPiece> pieces_;
};

// Without the white space at both ends that Python's str.strip removes, and with it the templates'
// `trim`: of Unicode, as far as `text` is valid UTF-8.
std::string_view TrimAsPython(std::string_view text);

}  // namespace gemma

#endif  // CC_TEXT_PROMPT_PIECES_H_
