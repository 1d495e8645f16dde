#include "cc/base/shown.h"

#include <string>

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(Shown, AShortTextIsAsItIs) {
  EXPECT_EQ(Shown(""), "");
  EXPECT_EQ(Shown("top_k \xC3\xA9"), "top_k \xC3\xA9");
  EXPECT_EQ(Shown(std::string(60, 'a')), std::string(60, 'a'));
}

TEST(Shown, NoLineEnds) {
  EXPECT_EQ(Shown("a\nb\t\"c\"\x01\x7F"), "a\\nb\\t\"c\"\\x01\\x7f");
  EXPECT_EQ(Shown(std::string("a\0b", 3)), "a\\x00b");
}

TEST(Shown, ALongTextIsCutBetweenCharacters) {
  EXPECT_EQ(Shown(std::string(61, 'a')), std::string(60, 'a') + "...");
  EXPECT_EQ(Shown("ab\xC3\xA9z", 3), "ab...");
  EXPECT_EQ(Shown("ab\xC3\xA9z", 4), "ab\xC3\xA9...");
  EXPECT_EQ(Shown(std::string(9, '\x80'), 3), "...");  // no characters at all
}

}  // namespace
}  // namespace gemma
