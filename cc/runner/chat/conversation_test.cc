#include "cc/runner/chat/conversation.h"

#include <gmock/gmock.h>

#include <string>

#include "cc/engine/fake_engine.h"
#include "gtest/gtest.h"

namespace gemma::chat {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kSpecials = 4;  // of FakeEngineOptions; byte b is token kSpecials + b

// What the engine draws: these texts, one after the other, each ended by the stop id.
std::vector<int32_t> Answers(const std::vector<std::string>& texts) {
  std::vector<int32_t> ids;
  for (const std::string& text : texts) {
    for (const char c : text) ids.push_back(kSpecials + static_cast<uint8_t>(c));
    ids.push_back(1);
  }
  return ids;
}

class ConversationTest : public testing::Test {
 protected:
  void Start(const std::vector<std::string>& answers, FakeEngineOptions options = {}) {
    options.tokens = Answers(answers);
    engine_ = std::make_unique<FakeEngine>(std::move(options));
    session_ = engine_->NewSession({}).value();
    conversation_.emplace(*engine_, *session_,
                          Options{.chat_template = "gemma3", .cancelled = &cancelled_});
  }

  absl::StatusOr<Answer> Say(const std::string& text) {
    return conversation_->Say(text, settings_,
                              [this](const auto& piece) { text_ += piece.answer; });
  }
  absl::StatusOr<Answer> Regenerate() {
    return conversation_->Regenerate(settings_,
                                     [this](const auto& piece) { text_ += piece.answer; });
  }

  std::string Contents() const {
    std::string all;
    for (const Message& message : conversation_->messages()) all += message.content + "|";
    return all;
  }

  std::unique_ptr<FakeEngine> engine_;
  std::unique_ptr<Session> session_;
  std::optional<Conversation> conversation_;
  std::atomic<bool> cancelled_{false};
  Settings settings_;
  std::string text_;
};

TEST_F(ConversationTest, ComputesOnlyWhatTheSessionDoesNotHold) {
  Start({"one", "two"});
  const Answer first = Say("a").value();
  EXPECT_EQ(first.reused_tokens, 0);
  const int64_t held = conversation_->held_tokens();
  const Answer second = Say("b").value();
  EXPECT_EQ(second.reused_tokens, held);
  EXPECT_EQ(second.result.prompt_tokens, second.prompt_tokens - held);
  EXPECT_EQ(text_, "onetwo");
  EXPECT_EQ(Contents(), "a|one|b|two|");
}

TEST_F(ConversationTest, AnotherAnswerComputesOneTokenOfThePrompt) {
  Start({"one", "two"});
  const Answer first = Say("a").value();
  const Answer again = Regenerate().value();
  EXPECT_EQ(again.prompt_tokens, first.prompt_tokens);
  EXPECT_EQ(again.reused_tokens, first.prompt_tokens - 1);
  EXPECT_EQ(again.result.prompt_tokens, 1);
  EXPECT_EQ(Contents(), "a|two|");
}

TEST_F(ConversationTest, WhatWasTakenBackIsNotComputedAgain) {
  Start({"one", "two", "three"});
  Say("a").value();
  const int64_t held = conversation_->held_tokens();
  Say("b").value();
  EXPECT_EQ(conversation_->Undo().value(), "b");
  EXPECT_EQ(Contents(), "a|one|");
  EXPECT_GE(Say("c").value().reused_tokens, held);
  EXPECT_EQ(Contents(), "a|one|c|three|");
}

TEST_F(ConversationTest, ThereIsNothingToTakeBackAtTheStart) {
  Start({});
  EXPECT_TRUE(absl::IsFailedPrecondition(conversation_->Undo().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Regenerate().status()));
  conversation_->SetSystem("Be brief.");
  EXPECT_TRUE(absl::IsFailedPrecondition(conversation_->Undo().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Regenerate().status()));
  EXPECT_EQ(conversation_->system(), "Be brief.");
}

TEST_F(ConversationTest, InstructionsOutliveAClear) {
  Start({"one"});
  conversation_->SetSystem("first");
  Say("a").value();
  conversation_->SetSystem("second");
  EXPECT_EQ(Contents(), "second|a|one|");
  conversation_->Clear();
  EXPECT_EQ(Contents(), "second|");
  conversation_->SetSystem("");
  EXPECT_EQ(Contents(), "");
}

TEST_F(ConversationTest, AMessageThatFailsIsForgottenAndTheRestIsKept) {
  absl::Status failure;
  Start({"one", "two"}, {.before_call = [&] { return failure; }});
  Say("a").value();
  failure = absl::InternalError("the GPU is gone");
  EXPECT_THAT(Say("b").status().message(), HasSubstr("the GPU is gone"));
  EXPECT_THAT(Regenerate().status().message(), HasSubstr("the GPU is gone"));
  EXPECT_EQ(Contents(), "a|one|");
  failure = absl::OkStatus();
  EXPECT_GT(Say("c").value().reused_tokens, 0);
  EXPECT_EQ(Contents(), "a|one|c|two|");
}

TEST_F(ConversationTest, AnAnswerThatWasStoppedStays) {
  Start({"one"});
  const Answer answer =
      conversation_->Say("a", settings_, [this](const auto&) { cancelled_ = true; }).value();
  EXPECT_EQ(answer.result.reason, FinishReason::kCancelled);
  EXPECT_EQ(Contents(), "a|on|");  // the token after the signal is the last one
}

TEST_F(ConversationTest, OneThatNeverBeganDoesNot) {
  Start({"one"}, {.before_call = [] { return absl::CancelledError("stopped"); }});
  EXPECT_EQ(Say("a").value().result.reason, FinishReason::kCancelled);
  EXPECT_EQ(Contents(), "");
}

TEST_F(ConversationTest, AFullContextSaysWhatToDo) {
  Start({"one"}, {.max_seq_len = 40});
  const absl::Status status = Say(std::string(60, 'x')).status();
  EXPECT_TRUE(absl::IsOutOfRange(status));
  EXPECT_THAT(status.message(), HasSubstr("ends at 40 (/undo takes the last turn back"));
  EXPECT_EQ(Contents(), "");
}

}  // namespace
}  // namespace gemma::chat
