#include "cc/engine/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>

#include "cc/engine/fake_engine.h"
#include "cc/engine/prompt.h"
#include "cc/text/fake_token_constraint.h"

namespace gemma {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kSpecials = 4;  // of FakeEngineOptions; byte b is token kSpecials + b

std::vector<int32_t> Ids(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(kSpecials + static_cast<uint8_t>(c));
  return ids;
}

std::vector<int32_t> IdsThenStop(const std::string& text) {
  std::vector<int32_t> ids = Ids(text);
  ids.push_back(1);
  return ids;
}

struct Run {
  GenerationResult result;
  std::string text;
  std::vector<std::string> pieces;
};

absl::StatusOr<Run> Generate(FakeEngine& engine, GenerationOptions options,
                             const std::vector<int32_t>& prompt = {0, 50, 51}) {
  if (options.max_new_tokens == 0) options.max_new_tokens = 100;
  const auto session = *engine.NewSession({});
  Run run;
  const auto result = Generate(engine, *session, prompt, options, [&](const GeneratedText& text) {
    run.text += text.answer;
    run.pieces.push_back(text.answer);
  });
  if (!result.ok()) return result.status();
  run.result = *result;
  return run;
}

TEST(GenerationTest, EndsAtTheStopIdAndDoesNotShowIt) {
  FakeEngine engine({.tokens = IdsThenStop("Hi!")});
  const auto run = Generate(engine, {});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->text, "Hi!");
  EXPECT_EQ(run->result.reason, FinishReason::kStopId);
  EXPECT_EQ(run->result.new_tokens, 3);
  EXPECT_EQ(run->result.prompt_tokens, 3);
  EXPECT_EQ(run->result.decode_calls, 3);
  EXPECT_EQ(run->pieces.size(), 3u) << "text streams";
  ASSERT_EQ(engine.calls.size(), 4u);
  EXPECT_THAT(engine.calls[0].tokens, ElementsAre(0, 50, 51));
  EXPECT_EQ(engine.calls[1].start, 3);
  EXPECT_EQ(engine.calls[3].tokens, Ids("!"));
}

TEST(GenerationTest, EveryStopIdCounts) {
  for (const int32_t stop : {1, 3}) {
    FakeEngine engine({.tokens = {kSpecials + 'a', stop, kSpecials + 'b'}, .stop_ids = {1, 3}});
    EXPECT_EQ(Generate(engine, {})->text, "a");
  }
}

TEST(GenerationTest, EndsAtAStopStringOverSeveralTokens) {
  FakeEngine engine({.tokens = IdsThenStop("one STOP two")});
  const auto run = Generate(engine, {.stop_strings = {"STOP"}});
  EXPECT_EQ(run->text, "one ");
  EXPECT_EQ(run->result.reason, FinishReason::kStopString);
  EXPECT_EQ(engine.calls.size(), 8u) << "nothing is drawn after the stop string";
}

TEST(GenerationTest, WhatLooksLikeAStopStringIsShownAtTheEnd) {
  FakeEngine engine({.tokens = IdsThenStop("a STO")});
  EXPECT_EQ(Generate(engine, {.stop_strings = {"STOP"}})->text, "a STO");
}

TEST(GenerationTest, CharactersAreNeverCut) {
  FakeEngine engine({.tokens = IdsThenStop("5\xE2\x82\xAC")});
  const auto run = Generate(engine, {});
  EXPECT_THAT(run->pieces, ElementsAre("5", "\xE2\x82\xAC"));
  FakeEngine cut({.tokens = IdsThenStop("5\xE2\x82")});
  EXPECT_EQ(Generate(cut, {})->text, "5\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(GenerationTest, EndsAfterMaxNewTokens) {
  FakeEngine engine({.tokens = Ids("abcdef")});
  const auto run = Generate(engine, {.max_new_tokens = 2});
  EXPECT_EQ(run->text, "ab");
  EXPECT_EQ(run->result.reason, FinishReason::kMaxNewTokens);
  EXPECT_EQ(engine.calls.size(), 2u) << "nothing is computed that nobody asked for";
}

TEST(GenerationTest, EndsWhereTheContextDoes) {
  FakeEngine engine({.tokens = Ids("abcdef"), .max_seq_len = 5});
  const auto run = Generate(engine, {});
  EXPECT_EQ(run->text, "abc") << "3 positions of prompt, a and b take the others, c needs none";
  EXPECT_EQ(run->result.reason, FinishReason::kContextFull);
}

TEST(GenerationTest, CancellationKeepsWhatWasSaid) {
  std::atomic<bool> cancelled = false;
  int calls = 0;
  FakeEngine engine({.tokens = Ids("abcdef"), .before_call = [&] {
                       if (++calls == 3) cancelled = true;
                       return absl::OkStatus();
                     }});
  const auto run = Generate(engine, {.cancelled = &cancelled});
  EXPECT_EQ(run->text, "abc") << "the token in hand is finished";
  EXPECT_EQ(run->result.reason, FinishReason::kCancelled);
  FakeEngine inside(
      {.tokens = Ids("ab"), .before_call = [] { return absl::CancelledError("stop"); }});
  EXPECT_EQ(Generate(inside, {})->result.reason, FinishReason::kCancelled);
}

TEST(GenerationTest, ErrorsAreReturned) {
  FakeEngine engine({.before_call = [] { return absl::InternalError("broken"); }});
  EXPECT_EQ(Generate(engine, {}).status().message(), "broken");
  EXPECT_THAT(std::string(Generate(engine, {.sampling = {.temperature = -1}}).status().message()),
              HasSubstr("temperature is -1"));
  EXPECT_THAT(std::string(Generate(engine, {.stop_strings = {""}}).status().message()),
              HasSubstr("stop string 0 is empty"));
  FakeEngine silent({.has_tokenizer = false});
  EXPECT_THAT(std::string(Generate(silent, {}).status().message()), HasSubstr("no tokenizer"));
}

TEST(GenerationTest, ALongPromptIsGivenInChunksOneAStep) {
  FakeEngine engine({.tokens = IdsThenStop("ok"), .max_prefill_chunk = 4});
  const auto session = *engine.NewSession({});
  const auto generation =
      *Generation::Create(engine, *session, Ids("123456789"), {.max_new_tokens = 9});
  for (const size_t calls : {1u, 2u}) {
    const GenerationStep step = *generation->Step();
    EXPECT_TRUE(step.events.empty() && !step.token.has_value());
    EXPECT_EQ(engine.calls.size(), calls);
  }
  EXPECT_EQ(generation->Step()->token->drawn.id, kSpecials + 'o');
  while (!generation->done()) ASSERT_TRUE(generation->Step().ok());
  EXPECT_EQ(generation->result().prompt_tokens, 9);
  EXPECT_EQ(generation->result().new_tokens, 2);
}

TEST(GenerationTest, ChangesAndConstraintsAreDrawnOnTheHost) {
  FakeEngine biased({.tokens = Ids("aaaa")});
  const auto run = Generate(
      biased,
      {.max_new_tokens = 3, .changes = {.frequency_penalty = 2, .logit_bias = {{200, 9.f}}}});
  EXPECT_THAT(run->result.tokens, ElementsAre(kSpecials + 'a', 200, kSpecials + 'a'))
      << "10 against 9, 8 against 9, 8 against 7";
  FakeEngine constrained({.tokens = Ids("xxxxxx")});
  FakeTokenConstraint constraint(IdsThenStop("{}"));
  EXPECT_EQ(Generate(constrained, {.constraint = &constraint})->text, "{}");
}

TEST(GenerationTest, TokensOfTheTextCarryTheirLogprobs) {
  FakeEngine engine(
      {.tokens = {4, kSpecials + 'h', 5, kSpecials + 'y', 1},
       .special = {"<bos>", "<eos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>"},
       .chat_template = "gemma4"});
  const auto session = *engine.NewSession({});
  const auto generation = *Generation::Create(
      engine, *session, {50},
      {.max_new_tokens = 9, .chat_template = "gemma4", .changes = {.top_logprobs = 2}});
  std::vector<bool> is_text;
  while (!generation->done()) {
    const GenerationStep step = *generation->Step();
    if (!step.token.has_value()) continue;
    is_text.push_back(step.token->is_text);
    EXPECT_NEAR(step.token->drawn.logprob, 0, 0.02);
    EXPECT_EQ(step.token->drawn.top.size(), 2u);
  }
  EXPECT_THAT(is_text, ElementsAre(false, false, false, true));
}

TEST(GenerationTest, NamesTheStopStringThatItFound) {
  FakeEngine engine({.tokens = IdsThenStop("one two")});
  EXPECT_EQ(Generate(engine, {.stop_strings = {"x", "tw"}})->result.stop_string, "tw");
}

TEST(PromptTest, BosIsThereOnce) {
  const FakeEngine engine({});
  EXPECT_THAT(*MakeRawPrompt(engine, "a"), ElementsAre(0, kSpecials + 'a'));
  EXPECT_THAT(*MakeRawPrompt(engine, "<bos>a"), ElementsAre(0, kSpecials + 'a'));
  EXPECT_THAT(*MakeRawPrompt(engine, ""), ElementsAre(0));
  const FakeEngine without({.add_bos = false});
  EXPECT_THAT(*MakeRawPrompt(without, "a"), ElementsAre(kSpecials + 'a'));
  EXPECT_FALSE(MakeRawPrompt(without, "").ok());
  const std::vector<int32_t> chat =
      *MakeChatPrompt(engine, "gemma3", {{Role::kUser, "<bos>"}}, false);
  EXPECT_EQ(std::count(chat.begin(), chat.end(), 0), 1) << "the user's <bos> is text";
  EXPECT_EQ(chat.front(), 0);
}

TEST(PromptTest, SaysWhatTheArtifactLacks) {
  const FakeEngine silent({.has_tokenizer = false});
  EXPECT_THAT(std::string(MakeRawPrompt(silent, "a").status().message()),
              HasSubstr("no tokenizer"));
  const FakeEngine bare({.special = {"<bos>", "<eos>"}});
  EXPECT_THAT(
      std::string(MakeChatPrompt(bare, "gemma3", {{Role::kUser, "a"}}, false).status().message()),
      HasSubstr("chat template gemma3 needs the special token <start_of_turn>"));
}

}  // namespace
}  // namespace gemma
