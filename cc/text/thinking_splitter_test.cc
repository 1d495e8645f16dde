#include "cc/text/thinking_splitter.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace gemma {
namespace {

using Strings = std::vector<std::string>;

struct Split {
  std::string thought;
  std::string answer;
  bool never_closed = false;

  bool operator==(const Split&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Split& split) {
  return out << "thought [" << split.thought << "] answer [" << split.answer << "] "
             << split.never_closed;
}

Split SplitOf(const Strings& parts) {
  ThinkingSplitter splitter;
  Split split;
  const auto take = [&split](const ThinkingSplitter::Text& text) {
    split.thought += text.thought;
    split.answer += text.answer;
  };
  for (const std::string& part : parts) take(splitter.Add(part));
  take(splitter.Finish());
  split.never_closed = splitter.in_thought();
  return split;
}

// Every way to cut `text` into tokens of equal size, and into two.
std::vector<Strings> Cuts(const std::string& text) {
  std::vector<Strings> cuts;
  for (size_t size = 1; size <= text.size(); ++size) {
    Strings parts;
    for (size_t at = 0; at < text.size(); at += size) parts.push_back(text.substr(at, size));
    cuts.push_back(parts);
    cuts.push_back({text.substr(0, size), text.substr(size)});
  }
  return cuts;
}

struct Case {
  std::string text;
  Split expected;
};

TEST(ThinkingSplitterTest, EveryCaseHoweverItIsCut) {
  const std::vector<Case> cases = {
      {"<|channel>thought\nHm.\n<channel|>Yes.", {"Hm.\n", "Yes."}},
      {"<|channel>thought\n<channel|>Yes.", {"", "Yes."}},    // an empty thought
      {"Yes.", {"", "Yes."}},                                 // thinking off
      {"<channel|>Yes.", {"", "Yes."}},                       // a bare closer
      {"Ye<channel|>s.", {"", "Yes."}},                       // a bare closer inside the answer
      {"<|channel>thought\nHm. Hm", {"Hm. Hm", "", true}},    // never closed
      {"<|channel>thought\nHm<chan", {"Hm<chan", "", true}},  // a closer cut off by the end
      {"<|channel>thou", {"thou", "", true}},
      {"<|channel>thought", {"", "", true}},
      {"<|channel>thought<channel|>Yes.", {"", "Yes."}},  // no line feed
      {"<|channel><channel|>Yes.", {"", "Yes."}},         // no title
      {"<|channel>throw it<channel|>Yes.",
       {"throw it", "Yes."}},  // no title, but like one at first
      {"<|channel>thought\nthought\n<channel|>A", {"thought\n", "A"}},
      {"<|channel>thought\nA<|channel>B<channel|>C", {"AB", "C"}},  // an opener inside a channel
      {"A<|channel>thought\nB<channel|>C<|channel>thought\nD<channel|>E", {"BD", "ACE"}},
      {"a < b <| c <|| <<channel|>d", {"", "a < b <| c <|| <d"}},
      {"<<|channel>thought\n<<channel|>x", {"<", "<x"}},
      {"<|channe", {"", "<|channe"}},
  };
  for (const Case& c : cases) {
    for (const Strings& parts : Cuts(c.text))
      EXPECT_EQ(SplitOf(parts), c.expected) << c.text << " in " << parts.size();
  }
}

TEST(ThinkingSplitterTest, TextIsGivenAsSoonAsItIsCertain) {
  ThinkingSplitter splitter;
  EXPECT_EQ(splitter.Add("Hello <").answer, "Hello ");
  EXPECT_EQ(splitter.Add("b").answer, "<b");
  EXPECT_EQ(splitter.Add("<|channel>thought\nWhy").thought, "Why");
  EXPECT_TRUE(splitter.in_thought());
  EXPECT_EQ(splitter.Add(" not").thought, " not");
  EXPECT_EQ(splitter.Add("<channel|>So").answer, "So");
  EXPECT_FALSE(splitter.in_thought());
}

}  // namespace
}  // namespace gemma
