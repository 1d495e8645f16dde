#include "cc/text/prompt_pieces.h"

#include "cc/text/utf8.h"

namespace gemma {
namespace {

bool IsWhitespace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

}  // namespace

std::string_view TrimAsPython(std::string_view text) {
  size_t begin = 0;
  size_t end = 0;  // after the last character that stays
  for (size_t at = 0; at < text.size();) {
    const CodePoint character = DecodeCodePoint(text, at);
    const size_t next = at + (character.bytes > 0 ? character.bytes : 1);
    const bool space = character.bytes > 0 && IsWhitespace(character.value);
    if (space && at == begin) begin = next;
    if (!space) end = next;
    at = next;
  }
  return end > begin ? text.substr(begin, end - begin) : std::string_view();
}

}  // namespace gemma
