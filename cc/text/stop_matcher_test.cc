#include "cc/text/stop_matcher.h"

#include <random>
#include <string>
#include <vector>

#include "cc/text/utf8.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

using Strings = std::vector<std::string>;

struct Printed {
  Strings texts;  // after each part, and at the end
  bool stopped = false;
  std::string found;
};

Printed PrintedWith(const Strings& stops, const Strings& parts) {
  StopMatcher matcher = StopMatcher::Create({}, stops).value();
  Printed printed;
  for (const std::string& part : parts) {
    const StopMatcher::Output output = matcher.Add(part);
    printed.texts.push_back(output.text);
    printed.stopped = output.stopped;
  }
  printed.texts.push_back(matcher.Finish());
  printed.found = matcher.found();
  return printed;
}

TEST(StopMatcherTest, TextPassesWhenNothingStopsIt) {
  EXPECT_EQ(PrintedWith({}, {"abc", "d"}).texts, (Strings{"abc", "d", ""}));
  EXPECT_EQ(PrintedWith({"xyz"}, {"abc", "d"}).texts, (Strings{"abc", "d", ""}));
  EXPECT_FALSE(PrintedWith({"xyz"}, {"abc"}).stopped);
}

TEST(StopMatcherTest, AStopStringOverSeveralTokensNeverShows) {
  const Printed printed = PrintedWith({"STOP"}, {"an S", "T", "O", "P more", "and more"});
  EXPECT_EQ(printed.texts, (Strings{"an ", "", "", "", "", ""}));
  EXPECT_TRUE(printed.stopped);
  EXPECT_EQ(printed.found, "STOP");
}

TEST(StopMatcherTest, WhatWasHeldBackIsPrintedWhenItIsNoStop) {
  EXPECT_EQ(PrintedWith({"STOP"}, {"an S", "T", "ART"}).texts, (Strings{"an ", "", "START", ""}));
  EXPECT_EQ(PrintedWith({"STOP"}, {"an STO"}).texts, (Strings{"an ", "STO"}));
}

TEST(StopMatcherTest, OverlapsAreNotMissed) {
  EXPECT_EQ(PrintedWith({"aab"}, {"aaab"}).texts, (Strings{"a", ""}));
  EXPECT_EQ(PrintedWith({"aab"}, {"a", "a", "a", "b"}).texts, (Strings{"", "", "a", "", ""}));
  EXPECT_EQ(PrintedWith({"\n\nUser:"}, {"x\n\n\nUser:"}).texts, (Strings{"x\n", ""}));
}

TEST(StopMatcherTest, TheFirstToEndWinsAndOfThoseTheLongest) {
  EXPECT_EQ(PrintedWith({"abcd", "bc"}, {"xabcd"}).texts, (Strings{"xa", ""}));
  EXPECT_EQ(PrintedWith({"c", "abc"}, {"xabc"}).texts, (Strings{"x", ""}));
  EXPECT_EQ(PrintedWith({"c", "abc"}, {"xabc"}).found, "abc");
}

TEST(StopMatcherTest, AStopThatIsTheWholeAnswer) {
  const Printed printed = PrintedWith({"STOP"}, {"STOP"});
  EXPECT_EQ(printed.texts, (Strings{"", ""}));
  EXPECT_TRUE(printed.stopped);
}

TEST(StopMatcherTest, CharactersStayWhole) {
  // The stop shares its first two bytes with the euro sign.
  const Printed printed = PrintedWith({"\xE2\x82\xAA!"}, {"5\xE2\x82\xAC", "\xE2\x82\xAA", "?"});
  EXPECT_EQ(printed.texts, (Strings{"5\xE2\x82\xAC", "", "\xE2\x82\xAA?", ""}));
}

TEST(StopMatcherTest, StopIds) {
  const StopMatcher matcher = StopMatcher::Create({1, 106, 50}, {}).value();
  for (const int32_t id : {1, 106, 50}) EXPECT_TRUE(matcher.IsStopId(id)) << id;
  for (const int32_t id : {0, 2, 105, -1}) EXPECT_FALSE(matcher.IsStopId(id)) << id;
}

TEST(StopMatcherTest, EmptyAndBrokenStringsAreRefused) {
  EXPECT_EQ(StopMatcher::Create({}, {"a", ""}).status().message(), "stop string 1 is empty");
  EXPECT_EQ(StopMatcher::Create({}, {"\xC3"}).status().message(),
            "stop string 0 is not valid UTF-8");
}

// However the text is cut, what is printed is the text before the match that ends first.
TEST(StopMatcherTest, CutsDoNotMatter) {
  std::mt19937 random(4);
  const auto random_text = [&random](size_t size) {
    std::string text(size, 'a');
    for (char& byte : text) byte = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    const Strings stops = {random_text(1 + random() % 5), random_text(1 + random() % 5)};
    const std::string text = random_text(random() % 12);
    std::string expected = text;
    for (size_t end = 1; end <= text.size() && expected == text; ++end) {
      for (const std::string& stop : stops) {
        const std::string_view before = std::string_view(text).substr(0, end);
        if (before.ends_with(stop) && end - stop.size() < expected.size())
          expected = text.substr(0, end - stop.size());
      }
    }
    Strings parts;
    for (size_t at = 0; at < text.size(); at += parts.back().size())
      parts.push_back(text.substr(at, 1 + random() % 4));
    std::string printed;
    for (const std::string& part : PrintedWith(stops, parts).texts) printed += part;
    ASSERT_EQ(printed, expected) << text << " with stops " << stops[0] << " and " << stops[1];
  }
}

}  // namespace
}  // namespace gemma
