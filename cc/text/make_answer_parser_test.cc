#include "cc/text/make_answer_parser.h"

#include <string>
#include <vector>

#include "cc/text/fake_tokenizer.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

using Kind = AnswerEvent::Kind;

const std::vector<std::string> kSpecials = {"<bos>",     "<|turn>",    "<turn|>",
                                            "<|think|>", "<|channel>", "<channel|>"};

std::vector<AnswerEvent> Parse(AnswerParser& parser, const std::vector<int32_t>& ids) {
  std::vector<AnswerEvent> events;
  for (const int32_t id : ids) {
    for (AnswerEvent& event : *parser.Add({&id, 1})) events.push_back(std::move(event));
  }
  for (AnswerEvent& event : parser.Finish()) events.push_back(std::move(event));
  std::vector<AnswerEvent> joined;
  for (AnswerEvent& event : events) {
    if (!joined.empty() && joined.back().kind == event.kind) {
      joined.back().text += event.text;
    } else {
      joined.push_back(std::move(event));
    }
  }
  return joined;
}

TEST(AnswerParser, WithoutATemplateEverythingIsText) {
  const FakeTokenizer tokenizer(kSpecials);
  const auto parser = MakeAnswerParser(tokenizer, nullptr);
  const auto events = Parse(*parser, *tokenizer.Encode("a b\xC3\xA9", {}));
  EXPECT_EQ(events, (std::vector<AnswerEvent>{{Kind::kText, "a b\xC3\xA9"}}));
  EXPECT_TRUE(parser->in_text());
}

TEST(AnswerParser, ThoughtsAreToldFromText) {
  const FakeTokenizer tokenizer(kSpecials);
  const auto chat = ChatTemplate::Create("gemma4", tokenizer);
  ASSERT_TRUE(chat.ok()) << chat.status();
  const auto parser = MakeAnswerParser(tokenizer, &*chat);
  const std::string text = "<|channel>thought\nhm<channel|>yes";
  const auto events = Parse(*parser, *tokenizer.Encode(text, {.parse_special = true}));
  EXPECT_EQ(events, (std::vector<AnswerEvent>{{Kind::kThought, "hm"}, {Kind::kText, "yes"}}));
}

TEST(AnswerParser, SaysWhetherTextComesNext) {
  const FakeTokenizer tokenizer(kSpecials);
  const auto chat = ChatTemplate::Create("gemma4", tokenizer);
  const auto parser = MakeAnswerParser(tokenizer, &*chat);
  const std::vector<int32_t> opener = {tokenizer.ControlId("<|channel>")};
  EXPECT_TRUE(parser->in_text());
  ASSERT_TRUE(parser->Add(opener).ok());
  EXPECT_FALSE(parser->in_text());
  const std::vector<int32_t> closer = {tokenizer.ControlId("<channel|>")};
  ASSERT_TRUE(parser->Add(closer).ok());
  EXPECT_TRUE(parser->in_text());
}

TEST(AnswerParser, RefusesAnIdOutsideTheVocabulary) {
  const FakeTokenizer tokenizer(kSpecials);
  const std::vector<int32_t> outside = {tokenizer.vocabulary_size()};
  EXPECT_FALSE(MakeAnswerParser(tokenizer, nullptr)->Add(outside).ok());
}

}  // namespace
}  // namespace gemma
