#include "cc/text/make_answer_parser.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cc/text/fake_gemma4.h"
#include "cc/text/utf8.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Kind = AnswerEvent::Kind;
using Events = std::vector<AnswerEvent>;

std::vector<int32_t> Ids(std::string_view text) {
  return *TheTokenizer().Encode(text, {.parse_special = true});
}

void Append(Events events, Events& all) {
  for (AnswerEvent& event : events) {
    const bool one_text = event.kind != Kind::kToolCall && event.kind != Kind::kToolCallEnd;
    if (one_text && !all.empty() && all.back().kind == event.kind) {
      all.back().text += event.text;
    } else {
      all.push_back(std::move(event));
    }
  }
}

// The events of the ids in calls of `cuts` tokens, round and round; neighbouring texts are joined.
Events Parse(AnswerParser& parser, std::span<const int32_t> ids,
             const std::vector<size_t>& cuts = {1}) {
  Events all;
  for (size_t at = 0, i = 0; at < ids.size(); ++i) {
    const size_t count = std::min(cuts[i % cuts.size()], ids.size() - at);
    Append(*parser.Add(ids.subspan(at, count)), all);
    at += count;
  }
  Append(parser.Finish(), all);
  return all;
}

Events ParseText(std::string_view text) {
  return Parse(*MakeAnswerParser(TheTokenizer(), &Gemma4()), Ids(text));
}

TEST(AnswerParser, WithoutATemplateEverythingIsText) {
  const auto parser = MakeAnswerParser(TheTokenizer(), nullptr);
  const auto events = Parse(*parser, *TheTokenizer().Encode("a b\xC3\xA9", {}));
  EXPECT_EQ(events, (Events{{Kind::kText, "a b\xC3\xA9"}}));
  EXPECT_TRUE(parser->in_text());
}

TEST(AnswerParser, ThoughtsAreToldFromText) {
  EXPECT_EQ(ParseText("<|channel>thought\nhm<channel|>yes"),
            (Events{{Kind::kThought, "hm"}, {Kind::kText, "yes"}}));
  EXPECT_EQ(ParseText("a<|channel>thought\nb<channel|>c<|channel>thought\nd<channel|>e"),
            (Events{{Kind::kText, "a"},
                    {Kind::kThought, "b"},
                    {Kind::kText, "c"},
                    {Kind::kThought, "d"},
                    {Kind::kText, "e"}}));
}

TEST(AnswerParser, AChannelNeedsNoTitle) {
  EXPECT_EQ(ParseText("<|channel>thought<channel|>a"), (Events{{Kind::kText, "a"}}));
  EXPECT_EQ(ParseText("<|channel><channel|>a"), (Events{{Kind::kText, "a"}}));
  EXPECT_EQ(ParseText("<|channel>though<channel|>a"),
            (Events{{Kind::kThought, "though"}, {Kind::kText, "a"}}));
  EXPECT_EQ(ParseText("<|channel>hm"), (Events{{Kind::kThought, "hm"}}));
}

TEST(AnswerParser, StrayMarkersAreDropped) {
  EXPECT_EQ(ParseText("<channel|>a<channel|>"), (Events{{Kind::kText, "a"}}));
  EXPECT_EQ(ParseText("<|channel>thought\na<|channel>b<channel|>c"),
            (Events{{Kind::kThought, "ab"}, {Kind::kText, "c"}}));
  EXPECT_EQ(ParseText("a<tool_call|>b<|\"|>c<|think|>d"), (Events{{Kind::kText, "abcd"}}));
}

TEST(AnswerParser, ProseThatSpellsAMarkerIsText) {
  const std::string prose = "write <|tool_call>call:f{}<tool_call|> or <|channel>";
  const auto parser = MakeAnswerParser(TheTokenizer(), &Gemma4());
  EXPECT_EQ(Parse(*parser, *TheTokenizer().Encode(prose, {})), (Events{{Kind::kText, prose}}));
}

TEST(AnswerParser, AToolCallBecomesJson) {
  EXPECT_EQ(
      ParseText("<|channel>thought\nhm<channel|>"
                "<|tool_call>call:get_weather{city:<|\"|>Paris, {\"}<|\"|>,days:3}<tool_call|>"),
      (Events{{Kind::kThought, "hm"},
              {Kind::kToolCall, "get_weather"},
              {Kind::kToolArguments, R"({"city":"Paris, {\"}","days":3})"},
              {Kind::kToolCallEnd, ""}}));
}

TEST(AnswerParser, CallsFollowOneAnother) {
  const Events calls = {
      {Kind::kToolCall, "f"}, {Kind::kToolArguments, "{}"},         {Kind::kToolCallEnd, ""},
      {Kind::kToolCall, "g"}, {Kind::kToolArguments, R"({"a":1})"}, {Kind::kToolCallEnd, ""}};
  EXPECT_EQ(ParseText("<|tool_call>call:f{}<tool_call|><|tool_call>call:g{a:1}<tool_call|>"),
            calls);
  EXPECT_EQ(ParseText("<|tool_call>call:f{}\ncall:g{a:1}<tool_call|>"), calls);
  EXPECT_EQ(ParseText("<|tool_call>call:f{}<|tool_call>g{a:1}"), calls);
}

TEST(AnswerParser, ArgumentsStream) {
  const auto parser = MakeAnswerParser(TheTokenizer(), &Gemma4());
  EXPECT_EQ(*parser->Add(Ids("<|tool_call>call:f")), Events());
  EXPECT_EQ(*parser->Add(Ids("{a:<|\"|>x")),
            (Events{{Kind::kToolCall, "f"}, {Kind::kToolArguments, R"({"a":"x)"}}));
  EXPECT_EQ(*parser->Add(Ids("y\n")), (Events{{Kind::kToolArguments, "y\\n"}}));
  EXPECT_FALSE(parser->in_text());
}

TEST(AnswerParser, AThoughtEndsWhereACallBegins) {
  EXPECT_EQ(ParseText("<|channel>thought\nhm<|tool_call>call:f{}<tool_call|>a"),
            (Events{{Kind::kThought, "hm"},
                    {Kind::kToolCall, "f"},
                    {Kind::kToolArguments, "{}"},
                    {Kind::kToolCallEnd, ""},
                    {Kind::kText, "a"}}));
}

TEST(AnswerParser, ACallThatTheModelClosesIsWhole) {
  EXPECT_EQ(ParseText("<|tool_call>call:f{a:[<|\"|>x<tool_call|>b"),
            (Events{{Kind::kToolCall, "f"},
                    {Kind::kToolArguments, R"({"a":["x"]})"},
                    {Kind::kToolCallEnd, ""},
                    {Kind::kText, "b"}}));
}

TEST(AnswerParser, ACallThatIsCutHasNoEnd) {
  EXPECT_EQ(ParseText("<|tool_call>call:f{a:<|\"|>x"),
            (Events{{Kind::kToolCall, "f"}, {Kind::kToolArguments, R"({"a":"x)"}}));
}

TEST(AnswerParser, WhatIsNoCallIsText) {
  EXPECT_EQ(ParseText("<|tool_call>hello<tool_call|> you"), (Events{{Kind::kText, "hello you"}}));
  EXPECT_EQ(ParseText("<|tool_call>no name at all{a:1}<tool_call|>"),
            (Events{{Kind::kText, "no name at all{a:1}"}}));
  EXPECT_EQ(ParseText("<|tool_call>call:f"), (Events{{Kind::kText, "call:f"}}));
  EXPECT_EQ(ParseText("<|tool_call><tool_call|>"), Events());
  const std::string longest(600, 'n');
  EXPECT_EQ(ParseText("<|tool_call>" + longest + "{}"), (Events{{Kind::kText, longest + "{}"}}));
}

TEST(AnswerParser, AnAnswerMayBeginWithinAThought) {
  const auto parser =
      MakeAnswerParser(TheTokenizer(), &Gemma4(), Ids("<|turn>model\n<|channel>thought\n"));
  EXPECT_FALSE(parser->in_text());
  EXPECT_EQ(Parse(*parser, Ids("thought\nhm<channel|>a")),
            (Events{{Kind::kThought, "thought\nhm"}, {Kind::kText, "a"}}));
  EXPECT_TRUE(
      MakeAnswerParser(TheTokenizer(), &Gemma4(), Ids("<|channel>thought\n<channel|>"))->in_text());
}

TEST(AnswerParser, RefusesAnIdOutsideTheVocabulary) {
  const std::vector<int32_t> outside = {TheTokenizer().vocabulary_size()};
  EXPECT_FALSE(MakeAnswerParser(TheTokenizer(), nullptr)->Add(outside).ok());
  EXPECT_FALSE(MakeAnswerParser(TheTokenizer(), &Gemma4())->Add(outside).ok());
}

// Half of the tokens are markers and what else calls are made of, the rest any bytes.
std::vector<int32_t> RandomIds(std::mt19937& random) {
  static const std::vector<std::string> parts = {"<|channel>",
                                                 "thought\n",
                                                 "<channel|>",
                                                 "<|tool_call>",
                                                 "<tool_call|>",
                                                 "<|\"|>",
                                                 "call:f{",
                                                 "{",
                                                 "}",
                                                 "[",
                                                 "]",
                                                 ",",
                                                 "a:",
                                                 "1.5",
                                                 "true",
                                                 "\"",
                                                 "\\",
                                                 "\xC3\xA9",
                                                 "\xF0\x9F\x98\x80",
                                                 "<bos>",
                                                 " "};
  const auto pick = [&random](size_t count) {
    return std::uniform_int_distribution<size_t>(0, count - 1)(random);
  };
  std::vector<int32_t> ids;
  for (size_t i = pick(40); i > 0; --i) {
    if (pick(6) == 0) {
      ids.push_back(static_cast<int32_t>(pick(TheTokenizer().vocabulary_size())));
    } else {
      const std::vector<int32_t> part = Ids(parts[pick(parts.size())]);
      ids.insert(ids.end(), part.begin(), part.end());
    }
  }
  return ids;
}

void CheckEvents(const Events& events) {
  const AnswerEvent* call = nullptr;
  std::string arguments;
  for (const AnswerEvent& event : events) {
    EXPECT_EQ(ValidUtf8Prefix(event.text), event.text.size());
    if (event.kind == Kind::kToolCall) {
      call = &event;
      arguments.clear();
    } else if (event.kind == Kind::kToolArguments) {
      ASSERT_NE(call, nullptr);
      arguments += event.text;
    } else if (event.kind == Kind::kToolCallEnd) {
      ASSERT_NE(call, nullptr);
      EXPECT_TRUE(nlohmann::json::parse(arguments, nullptr, false).is_object()) << arguments;
      call = nullptr;
    }
  }
}

// ANSWER_PARSER_STREAMS sets how many streams there are; half of them go on from a thought.
TEST(AnswerParser, AnyTokensInAnyCutsGiveTheSameEvents) {
  const char* asked = std::getenv("ANSWER_PARSER_STREAMS");
  const int streams = asked == nullptr ? 100'000 : std::atoi(asked);
  const std::vector<int32_t> in_thought = Ids("<|turn>model\n<|channel>thought\n");
  std::mt19937 random(3);
  std::map<Kind, int64_t> seen;
  for (int stream = 0; stream < streams; ++stream) {
    const std::vector<int32_t> ids = RandomIds(random);
    const std::vector<int32_t> prompt = stream % 2 == 0 ? std::vector<int32_t>() : in_thought;
    const auto whole = MakeAnswerParser(TheTokenizer(), &Gemma4(), prompt);
    const Events expected = Parse(*whole, ids, {ids.size() + 1});
    std::vector<size_t> cuts(1 + random() % 5);
    for (size_t& cut : cuts) cut = 1 + random() % 4;
    const auto cut = MakeAnswerParser(TheTokenizer(), &Gemma4(), prompt);
    EXPECT_EQ(Parse(*cut, ids, cuts), expected);
    CheckEvents(expected);
    for (const AnswerEvent& event : expected) ++seen[event.kind];
    if (HasFailure()) {
      FAIL() << "stream " << stream;
    }
  }
  for (const Kind kind : {Kind::kText, Kind::kThought, Kind::kToolCall, Kind::kToolCallEnd})
    EXPECT_GT(seen[kind], streams / 50);
  std::cout << streams << " streams: " << seen[Kind::kText] << " texts, " << seen[Kind::kThought]
            << " thoughts, " << seen[Kind::kToolCall] << " calls, " << seen[Kind::kToolCallEnd]
            << " of them whole\n";
}

}  // namespace
}  // namespace gemma
