#include "cc/base/shown.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace gemma {
namespace {

bool ContinuesCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

std::string OnOneLine(absl::string_view text) {
  std::string line;
  for (const char& byte : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(byte))) {
      line += absl::CHexEscape(absl::string_view(&byte, 1));
    } else {
      line += byte;
    }
  }
  return line;
}

}  // namespace

std::string Shown(absl::string_view text, size_t most) {
  if (text.size() <= most) return OnOneLine(text);
  while (most > 0 && ContinuesCharacter(text[most])) --most;
  return OnOneLine(text.substr(0, most)) + "...";
}

}  // namespace gemma
