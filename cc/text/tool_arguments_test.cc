#include "cc/text/tool_arguments.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "cc/text/conversation.h"
#include "cc/text/gemma4_syntax.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::json;

// Reads text in which quote tokens are spelled out, `cut` bytes at a time; closes it at the end.
std::string Read(std::string_view written, size_t cut = 1000) {
  ToolArguments arguments;
  std::string json;
  while (!written.empty() && !arguments.done()) {
    if (written.starts_with(kQuoteToken)) {
      json += arguments.AddQuote();
      written.remove_prefix(kQuoteToken.size());
      continue;
    }
    const size_t quote = std::min(written.find(kQuoteToken), written.size());
    std::string_view text = written.substr(0, std::min(cut, quote));
    written.remove_prefix(text.size());
    json += arguments.AddText(text);
  }
  return json + arguments.Close();
}

TEST(ToolArgumentsTest, ReadsTheSyntax) {
  EXPECT_EQ(Read("{}"), "{}");
  EXPECT_EQ(Read(R"({city:<|"|>Paris<|"|>})"), R"({"city":"Paris"})");
  EXPECT_EQ(Read(R"({a:1,b:-2.5e3,c:true,d:false,e:null})"),
            R"({"a":1,"b":-2.5e3,"c":true,"d":false,"e":null})");
  EXPECT_EQ(Read(R"({o:{p:{},q:[]},l:[1,<|"|>x<|"|>,[2],{k:3}]})"),
            R"({"o":{"p":{},"q":[]},"l":[1,"x",[2],{"k":3}]})");
  EXPECT_EQ(Read(R"({<|"|>a b<|"|>:1})"), R"({"a b":1})");
  EXPECT_EQ(Read("{ a : 1 ,\n b : [ 1 , 2 ] }"), R"({"a":1,"b":[1,2]})");
}

TEST(ToolArgumentsTest, AStringHoldsAnything) {
  EXPECT_EQ(Read("{code:<|\"|>if (a) {\n\treturn \"}\\\";\r\n}, b:1]<|\"|>,n:1}"),
            R"({"code":"if (a) {\n\treturn \"}\\\";\r\n}, b:1]","n":1})");
  EXPECT_EQ(Read("{a:<|\"|>\x01\x1f\x7f\xC3\xA9<|\"|>}"), "{\"a\":\"\\u0001\\u001f\x7f\xC3\xA9\"}");
}

TEST(ToolArgumentsTest, ReadsWhatModelsGetWrong) {
  EXPECT_EQ(Read("{city:Paris, France}"), R"({"city":"Paris","France":null})");
  EXPECT_EQ(Read("{a:007,b:1.,c:+1,d:NaN,e:1e999,f:None}"),
            R"({"a":"007","b":"1.","c":"+1","d":"NaN","e":"1e999","f":null})");
  EXPECT_EQ(Read(R"({"a": "x, }y", "b": "\"q\"", "c": 2})"), R"({"a":"x, }y","b":"\"q\"","c":2})");
  EXPECT_EQ(Read("{a:,b:}"), R"({"a":null,"b":null})");
  EXPECT_EQ(Read("{a,b}"), R"({"a":null,"b":null})");
  EXPECT_EQ(Read("{,a:1,,b:[1,,2,],}"), R"({"a":1,"b":[1,2]})");
  EXPECT_EQ(Read(R"({a:<|"|>say <|"|>hi<|"|> now<|"|>,b:1})"), R"({"a":"say hi now","b":1})");
  EXPECT_EQ(Read(R"({a:x<|"|>y<|"|>})"), R"({"a":"xy"})");
  EXPECT_EQ(Read(R"({a<|"|>y<|"|>:1})"), R"({"ay":1})");
  EXPECT_EQ(Read("{a:[1}]}"), R"({"a":["1}"]})");
  EXPECT_EQ(Read(std::string_view("{a:true\0x}", 10)), R"({"a":"true\u0000x"})");
  EXPECT_EQ(Read("{a:\xEF\xBB\xBFtrue}"), "{\"a\":\"\xEF\xBB\xBFtrue\"}");
}

TEST(ToolArgumentsTest, ClosesWhatIsOpen) {
  EXPECT_EQ(Read(""), "{}");
  EXPECT_EQ(Read("{"), "{}");
  EXPECT_EQ(Read("{a"), R"({"a":null})");
  EXPECT_EQ(Read("{a:"), R"({"a":null})");
  EXPECT_EQ(Read("{a:12"), R"({"a":12})");
  EXPECT_EQ(Read("{a:[1,{b:<|\"|>x"), R"({"a":[1,{"b":"x"}]})");
  EXPECT_EQ(Read("{a:<|\"|>x<|\"|>  "), R"({"a":"x"})");
  EXPECT_EQ(Read("{<|\"|>a"), R"({"a":null})");
}

TEST(ToolArgumentsTest, WhatFollowsTheObjectIsLeft) {
  ToolArguments arguments;
  std::string_view text = "{a:1}rest";
  EXPECT_EQ(arguments.AddText(text), R"({"a":1})");
  EXPECT_TRUE(arguments.done());
  EXPECT_EQ(text, "rest");
  EXPECT_EQ(arguments.Close(), "");
}

TEST(ToolArgumentsTest, AStringStreams) {
  ToolArguments arguments;
  std::string_view text = "{a:";
  EXPECT_EQ(arguments.AddText(text), R"({"a":)");
  EXPECT_EQ(arguments.AddQuote(), "\"");
  text = "x";
  EXPECT_EQ(arguments.AddText(text), "x");
}

// Anything at all gives one JSON object, the same however it is cut.
TEST(ToolArgumentsTest, AnyTextGivesAnObject) {
  std::mt19937 random(1);
  const std::vector<std::string> words = {"{",      "}",  "[",  "]",  ",",       ":",
                                          "<|\"|>", "\"", "\\", " ",  "a",       "1",
                                          "true",   "-",  ".5", "\n", "\xC3\xA9"};
  for (int round = 0; round < 20000; ++round) {
    std::string written = round % 2 == 0 ? "{" : "{a:";
    const int length = std::uniform_int_distribution<int>(0, 30)(random);
    for (int i = 0; i < length; ++i)
      written += words[std::uniform_int_distribution<size_t>(0, words.size() - 1)(random)];
    const std::string json = Read(written);
    EXPECT_TRUE(Json::parse(json, nullptr, false).is_object()) << written << "\n" << json;
    EXPECT_EQ(Read(written, 1), json) << written;
    if (HasFailure()) return;
  }
}

Json RandomJson(std::mt19937& random, int depth) {
  static const std::vector<std::string> texts = {"",         "a b", "x\"y\\", "{,}:[",
                                                 "\n\t\x01", "é😀", "true",   "12"};
  const auto pick = [&random](int count) {
    return std::uniform_int_distribution<int>(0, count - 1)(random);
  };
  switch (pick(depth > 0 ? 8 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return pick(2) == 0;
    case 2:
      return pick(2000) - 1000;
    case 3:
      return (pick(2000) - 1000) / 8.0 * std::pow(10, pick(40) - 20);
    case 4:
    case 5:
      return texts[static_cast<size_t>(pick(static_cast<int>(texts.size())))];
    case 6: {
      Json list = Json::array();
      for (int i = pick(4); i > 0; --i) list.push_back(RandomJson(random, depth - 1));
      return list;
    }
    default: {
      Json object = Json::object();
      for (int i = pick(4); i > 0; --i)
        object["k" + std::to_string(pick(9))] = RandomJson(random, depth - 1);
      return object;
    }
  }
}

// What the template writes for a call is read back as it was.
TEST(ToolArgumentsTest, ReadsWhatTheTemplateWrites) {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    Json arguments = Json::object();
    for (int i = 0; i < 3; ++i) arguments["a" + std::to_string(i)] = RandomJson(random, 3);
    PromptPieces prompt;
    ASSERT_TRUE(WriteArguments({"", "f", arguments.dump()}, Gemma4Edition::kJuly2026, prompt).ok());
    std::string written = "{";
    for (const PromptPiece& piece : prompt.Take()) written += piece.text;
    const std::string json = Read(written + "}");
    ASSERT_EQ(Json::parse(json, nullptr, false), arguments) << written << "\n" << json;
  }
}

}  // namespace
}  // namespace gemma
