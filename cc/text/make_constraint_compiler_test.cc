#include "cc/text/make_constraint_compiler.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/text/chat_template.h"
#include "cc/text/fake_tokenizer.h"
#include "cc/text/token_constraint.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;
using Kind = OutputFormat::Kind;
using Choice = OutputFormat::ToolChoice;

const FakeTokenizer& TheTokenizer() {
  static const auto& tokenizer =
      *new FakeTokenizer({"<bos>", "<eos>", "<|turn>", "<turn|>", "<|think|>", "<|channel>",
                          "<channel|>", "<|tool_call>", "<tool_call|>", "<|\"|>"});
  return tokenizer;
}

const ConstraintCompiler& TheCompiler() {
  static const auto& compiler =
      *MakeConstraintCompiler(
           TheTokenizer(), ChatTemplate::Create("gemma4", TheTokenizer())->answer_markers(), {1, 3})
           .release();
  return compiler;
}

// How many tokens of an answer, in which special tokens are spelled out, the format allows; -1: all
// of it, and the answer may end there.
int Allowed(const OutputFormat& format, std::string_view answer, bool parse_special = true) {
  const auto constraint = TheCompiler().Compile(format);
  EXPECT_TRUE(constraint.ok()) << constraint.status();
  if (!constraint.ok()) return -2;
  std::vector<int32_t> ids = *TheTokenizer().Encode(answer, {.parse_special = parse_special});
  ids.push_back(1);
  std::vector<uint32_t> mask(MaskWords(TheTokenizer().vocabulary_size()));
  for (size_t i = 0; i < ids.size(); ++i) {
    (*constraint)->FillMask(mask);
    const auto id = static_cast<size_t>(ids[i]);
    const bool allowed = (mask[id / 32] >> (id % 32) & 1) != 0;
    EXPECT_EQ((*constraint)->Accept(ids[i]).ok(), allowed) << answer << " at " << i;
    if (!allowed) return static_cast<int>(i);
  }
  return -1;
}

OutputFormat OfSchema(const std::string& schema, bool thinking = false) {
  return {.kind = Kind::kJsonSchema, .schema = schema, .thinking = thinking};
}

constexpr char kAge[] =
    R"({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]})";

TEST(MakeConstraintCompilerTest, ASchemaIsEnforced) {
  EXPECT_EQ(Allowed(OfSchema(kAge), R"({"age": 12})"), -1);
  EXPECT_EQ(Allowed(OfSchema(kAge), R"({"age": "x"})"), 8);
  EXPECT_EQ(Allowed(OfSchema(kAge), R"({"age": 12)"), 10);  // does not end here
  EXPECT_EQ(Allowed(OfSchema(kAge), "Sure: {"), 0);
}

TEST(MakeConstraintCompilerTest, JsonModeIsOneObject) {
  const OutputFormat format = {.kind = Kind::kJsonObject};
  EXPECT_EQ(Allowed(format, R"({"a": [1, {"b": null}], "c": "d"})"), -1);
  EXPECT_EQ(Allowed(format, "{}"), -1);
  EXPECT_EQ(Allowed(format, "[1]"), 0);
  EXPECT_EQ(Allowed(format, "{}x"), 2);
}

TEST(MakeConstraintCompilerTest, AThoughtMayComeFirst) {
  const std::string thought = "<|channel>thought\nan {\"age\" <turn|";
  const OutputFormat format = OfSchema(kAge, /*thinking=*/true);
  EXPECT_EQ(Allowed(format, thought + R"(<channel|>{"age":1})"), -1);
  EXPECT_EQ(Allowed(format, R"({"age":1})"), -1);
  EXPECT_EQ(Allowed(OfSchema(kAge), thought), 0);
  EXPECT_EQ(Allowed(format, "<|channel>thought\na<channel|>b"), 11);
  OutputFormat within = OfSchema(kAge);
  within.in_thought = true;
  EXPECT_EQ(Allowed(within, R"(hm<channel|>{"age":1})"), -1);
}

TEST(MakeConstraintCompilerTest, TextThatSpellsAMarkerIsText) {
  const OutputFormat format = OfSchema(R"({"type": "string"})", /*thinking=*/true);
  EXPECT_EQ(Allowed(format, "\"<|channel>\"", /*parse_special=*/false), -1);
  EXPECT_EQ(Allowed(format, "\"<|channel>\""), 1);
  EXPECT_EQ(Allowed(format, "<|channel>", /*parse_special=*/false), 0);
}

OutputFormat OfTools(Choice choice) {
  return {.tools = {{"f", "", kAge}, {"g", "", ""}}, .tool_choice = choice};
}

TEST(MakeConstraintCompilerTest, ARequiredCallIsEnforced) {
  const OutputFormat format = OfTools(Choice::kRequired);
  EXPECT_EQ(Allowed(format, "<|tool_call>call:f{age:12}<tool_call|>"), -1);
  EXPECT_EQ(Allowed(format, "<|tool_call>call:g{}<tool_call|><|tool_call>call:g{}<tool_call|>"),
            -1);
  EXPECT_EQ(Allowed(format, "<|tool_call>call:h"), 6);
  EXPECT_EQ(Allowed(format, "Hi"), 0);
  EXPECT_EQ(Allowed(format, "<|tool_call>call:f{age:<|\"|>"), 12);
  EXPECT_EQ(Allowed(format, ""), 0);
}

TEST(MakeConstraintCompilerTest, ANamedCallIsTheOnlyOne) {
  OutputFormat format = OfTools(Choice::kNamed);
  format.tool_name = "g";
  EXPECT_EQ(Allowed(format, "<|tool_call>call:g{}<tool_call|>"), -1);
  EXPECT_EQ(Allowed(format, "<|tool_call>call:f"), 6);
  EXPECT_EQ(Allowed(format, "<|tool_call>call:g{}<tool_call|><|tool_call>"), 10);
}

TEST(MakeConstraintCompilerTest, AStringOfACallHoldsAnyText) {
  OutputFormat format = OfTools(Choice::kRequired);
  format.tools[0].parameters = R"({"type": "object", "properties": {"code": {"type": "string"}}})";
  EXPECT_EQ(
      Allowed(format, "<|tool_call>call:f{code:<|\"|>if (a) { \"}\" }\n, <|\"|>}<tool_call|>"), -1);
}

TEST(MakeConstraintCompilerTest, ToolsAndTextCanBeLimited) {
  OutputFormat one = OfTools(Choice::kAuto);
  one.parallel_tool_calls = false;
  EXPECT_EQ(Allowed(one, "Hi <|tool_call>call:g{}<tool_call|>"), -1);
  EXPECT_EQ(Allowed(one, "Hi"), -1);
  EXPECT_EQ(Allowed(one, "<|tool_call>call:g{}<tool_call|><|tool_call>"), 10);
  EXPECT_EQ(Allowed(OfTools(Choice::kNone), "Hi<|tool_call>"), 2);
  OutputFormat json = OfTools(Choice::kAuto);
  json.kind = Kind::kJsonSchema;
  json.schema = kAge;
  EXPECT_EQ(Allowed(json, R"({"age":1})"), -1);
  EXPECT_EQ(Allowed(json, "<|tool_call>call:g{}<tool_call|>"), -1);
}

TEST(MakeConstraintCompilerTest, AStrictToolIsHeldToItsSchemaWhereverItIsCalled) {
  OutputFormat format = OfTools(Choice::kAuto);
  EXPECT_TRUE(format.IsFree());
  format.tools[1].strict = true;
  EXPECT_FALSE(format.IsFree());
  EXPECT_EQ(Allowed(format, "Hi <|tool_call>call:g{a:1}<tool_call|>"), 11);
  EXPECT_EQ(Allowed(format, "Hi <|tool_call>call:f{b:[1,<|\"|>x<|\"|>]}<tool_call|> there"), -1);
  EXPECT_EQ(Allowed(format, "Hi <|tool_call>call:f{b:}"), 13);
  format.tools[0].parameters = R"({"type": "object", "minProperties": -1})";
  EXPECT_TRUE(TheCompiler().Compile(format).ok());  // not strict: its schema is not read
}

TEST(MakeConstraintCompilerTest, WhatCannotBeEnforcedIsNamed) {
  const auto sentence = [](const OutputFormat& format) {
    return std::string(TheCompiler().Compile(format).status().message());
  };
  EXPECT_EQ(sentence(OfSchema(R"({"type": "array", "uniqueItems": true})")),
            "the schema: schema: \"uniqueItems\" is not supported for the type array");
  EXPECT_EQ(sentence(OfSchema("[")), "the schema is not a JSON object");
  EXPECT_THAT(sentence(OfSchema(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})")),
              HasSubstr("oneOf"));
  EXPECT_THAT(sentence(OfSchema(R"({"$ref": "https://example.com/schema"})")), HasSubstr("URI"));
  EXPECT_THAT(sentence(OfSchema(R"({"type": "string", "pattern": "(?=a)b"})")),
              HasSubstr("not supported"));
  OutputFormat named = OfTools(Choice::kNamed);
  named.tool_name = "h";
  EXPECT_EQ(sentence(named), "tool h is not defined");
}

// How many of these bytes the format allows, a byte being a token of its own.
size_t AllowedBytes(const OutputFormat& format, std::string_view bytes) {
  const auto constraint = TheCompiler().Compile(format).value();
  const int32_t first = TheTokenizer().vocabulary_size() - 256;
  size_t allowed = 0;
  while (allowed < bytes.size() &&
         constraint->Accept(first + static_cast<uint8_t>(bytes[allowed])).ok())
    ++allowed;
  return allowed;
}

TEST(MakeConstraintCompilerTest, StringsAreValidUtf8) {
  for (const char* schema : {R"({"type": "string"})", R"({"type": "string", "maxLength": 5})",
                             R"({"type": "string", "pattern": "^.*$"})",
                             R"({"type": "string", "pattern": "^[^b]*$"})"}) {
    EXPECT_EQ(AllowedBytes(OfSchema(schema), "\"\xED\x9F\xBF\xEE\x80\x80\""), 8u) << schema;
    EXPECT_EQ(AllowedBytes(OfSchema(schema), "\"\xED\xA0\x80"), 2u) << schema;  // a surrogate
    EXPECT_EQ(AllowedBytes(OfSchema(schema), "\"\xC0\x80"), 1u) << schema;      // overlong
    EXPECT_EQ(AllowedBytes(OfSchema(schema), "\"\xE0\x80\x80"), 2u) << schema;
    EXPECT_EQ(AllowedBytes(OfSchema(schema), "\"\xF4\x90\x80\x80"), 2u) << schema;
    EXPECT_EQ(AllowedBytes(OfSchema(schema), "\"\x80"), 1u) << schema;
  }
}

// A pattern may ask for what a JSON string has only as an escape, which patterns are not about.
TEST(MakeConstraintCompilerTest, PatternsThatAreNotJsonAreRefused) {
  for (const char* pattern : {R"(a{2}\\n)", R"(^[a-z]{2}\"$)", R"(a\nb)", "a\\\\b"}) {
    const std::string schema = absl::StrCat(R"({"type": "string", "pattern": ")", pattern, "\"}");
    EXPECT_THAT(std::string(TheCompiler().Compile(OfSchema(schema)).status().message()),
                HasSubstr("no JSON string without escapes"))
        << schema;
  }
  const OutputFormat beyond_ascii = OfSchema(R"({"type": "string", "pattern": "^[äö]+.$"})");
  EXPECT_EQ(AllowedBytes(beyond_ascii, "\"ö!\""), 5u);
  EXPECT_EQ(AllowedBytes(beyond_ascii, "\"ö\n"), 3u);
  EXPECT_EQ(AllowedBytes(beyond_ascii, "\"o"), 1u);
}

TEST(MakeConstraintCompilerTest, NumbersAreFloat64) {
  const OutputFormat number = OfSchema(R"({"type": "number"})");
  EXPECT_EQ(Allowed(number, "-1.25e-99"), -1);
  EXPECT_EQ(Allowed(number, "1e100"), 4);
}

TEST(MakeConstraintCompilerTest, AfterTheEndOnlyStopIdsAreLeft) {
  const auto constraint = TheCompiler().Compile(OfSchema(R"({"const": 1})")).value();
  ASSERT_TRUE(constraint->Accept(TheTokenizer().Encode("1", {}).value()[0]).ok());
  ASSERT_TRUE(constraint->Accept(3).ok());
  std::vector<uint32_t> mask(MaskWords(TheTokenizer().vocabulary_size()));
  constraint->FillMask(mask);
  EXPECT_EQ(mask[0], (1u << 1) | (1u << 3));
  EXPECT_FALSE(constraint->Accept(20).ok());
}

}  // namespace
}  // namespace gemma
