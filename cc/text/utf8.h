// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#ifndef CC_TEXT_UTF8_H_
#define CC_TEXT_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gemma {

// U+FFFD, what stands in for bytes that are no character.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

struct CodePoint {
  char32_t value = 0;
  int bytes = 0;  // 1 to 4; 0: no character starts here
};

// The character that starts at text[at];
// bytes = 0 when those bytes are not valid UTF-8, or the text ends.
CodePoint DecodeCodePoint(std::string_view text, size_t at);

// How many leading bytes of `text` are whole, valid characters; text.size() when all are.
size_t ValidUtf8Prefix(std::string_view text);

// Whether `bytes`, which is shorter than a character, could become one by appending bytes.
bool IsIncompleteCharacter(std::string_view bytes);

}  // namespace gemma

#endif  // CC_TEXT_UTF8_H_
