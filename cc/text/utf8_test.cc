#include "cc/text/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace gemma {
namespace {

// An encoder that shares nothing with the decoder.
std::string EncodeCodePoint(char32_t c) {
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
  if (c < 0x10000) {
    return {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
            static_cast<char>(0x80 | (c & 63))};
  }
  return {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)),
          static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
}

TEST(Utf8Test, EveryCodePointDecodesAndSurrogatesDoNot) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    const std::string text = EncodeCodePoint(c);
    const CodePoint decoded = DecodeCodePoint(text, 0);
    if (c >= 0xD800 && c < 0xE000) {
      ASSERT_EQ(decoded.bytes, 0) << static_cast<uint32_t>(c);
      continue;
    }
    ASSERT_EQ(decoded.value, c);
    ASSERT_EQ(decoded.bytes, static_cast<int>(text.size()));
    ASSERT_EQ(ValidUtf8Prefix(text), text.size());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_TRUE(IsIncompleteCharacter(text.substr(0, cut)));
      ASSERT_EQ(ValidUtf8Prefix(text.substr(0, cut)), 0u);
    }
    ASSERT_FALSE(IsIncompleteCharacter(text));
  }
}

TEST(Utf8Test, InvalidBytesEndTheValidPrefix) {
  for (const std::string bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                                "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
                                "\xC3", "\xE2\x96", "\xC3(", "\xE2\x28\xA1"}) {
    for (const std::string before : {"", "a", "12345678", "123456789", "\xC3\xA9"}) {
      EXPECT_EQ(ValidUtf8Prefix(before + bad), before.size()) << before;
      EXPECT_EQ(ValidUtf8Prefix(before + bad + "after that"), before.size()) << before;
    }
  }
}

TEST(Utf8Test, IncompleteMeansThatMoreBytesCouldHelp) {
  EXPECT_FALSE(IsIncompleteCharacter(""));
  EXPECT_FALSE(IsIncompleteCharacter("a"));
  EXPECT_FALSE(IsIncompleteCharacter("\x80"));
  EXPECT_FALSE(IsIncompleteCharacter("\xE0\x80"));
  EXPECT_FALSE(IsIncompleteCharacter("\xED\xA0"));
  EXPECT_TRUE(IsIncompleteCharacter("\xF4\x8F\xBF"));
}

}  // namespace
}  // namespace gemma
