#include "cc/text/utf8.h"

#include <cstring>

namespace gemma {
namespace {

// What the first byte says about a character. The range of the second byte is narrower than 80..BF
// after the lead bytes whose overlong forms, surrogates or too large values must be refused.
struct Lead {
  int bytes;
  uint8_t second_min;
  uint8_t second_max;
};

Lead ReadLead(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// How many bytes of `text` agree with the character that its first byte announces.
int AgreeingBytes(std::string_view text, const Lead& lead) {
  const int available = static_cast<int>(text.size() < 4 ? text.size() : 4);
  int agreeing = 1;
  for (; agreeing < lead.bytes && agreeing < available; ++agreeing) {
    const uint8_t byte = static_cast<uint8_t>(text[agreeing]);
    const bool second = agreeing == 1;
    if (byte < (second ? lead.second_min : 0x80) || byte > (second ? lead.second_max : 0xBF)) break;
  }
  return agreeing;
}

// The number of leading bytes below 0x80, in steps of 8.
size_t AsciiWords(std::string_view text) {
  size_t at = 0;
  for (uint64_t word; at + sizeof(word) <= text.size(); at += sizeof(word)) {
    std::memcpy(&word, text.data() + at, sizeof(word));
    if ((word & 0x8080808080808080u) != 0) break;
  }
  return at;
}

}  // namespace

CodePoint DecodeCodePoint(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const uint8_t first = static_cast<uint8_t>(text[at]);
  if (first < 0x80) return {first, 1};
  const Lead lead = ReadLead(first);
  if (lead.bytes == 0 || AgreeingBytes(text.substr(at), lead) < lead.bytes) return {};
  char32_t value = first & (0x7F >> lead.bytes);
  for (int i = 1; i < lead.bytes; ++i)
    value = value << 6 | (static_cast<uint8_t>(text[at + i]) & 0x3F);
  return {value, lead.bytes};
}

size_t ValidUtf8Prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    at += AsciiWords(text.substr(at));
    if (at == text.size()) break;
    const int bytes = DecodeCodePoint(text, at).bytes;
    if (bytes == 0) break;
    at += bytes;
  }
  return at;
}

bool IsIncompleteCharacter(std::string_view bytes) {
  if (bytes.empty()) return false;
  const Lead lead = ReadLead(static_cast<uint8_t>(bytes[0]));
  return static_cast<int>(bytes.size()) < lead.bytes &&
         AgreeingBytes(bytes, lead) == static_cast<int>(bytes.size());
}

}  // namespace gemma
