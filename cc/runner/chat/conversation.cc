#include "cc/runner/chat/conversation.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/limits.h"
#include "cc/engine/token_prefix.h"

namespace gemma::chat {
namespace {

absl::Status CheckPrompt(const Engine& engine, size_t tokens) {
  if (CheckRoom(engine.limits(), 0, tokens).ok()) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(
      "the conversation has ", tokens,
      " tokens with this message, but the context of this artifact ends at ",
      engine.limits().max_seq_len,
      " (/undo takes the last turn back, /save keeps it all, /clear starts a new conversation)"));
}

bool CameToNothing(const Answer& answer) {
  return answer.result.reason == FinishReason::kCancelled && answer.result.tokens.empty();
}

}  // namespace

absl::StatusOr<Answer> Conversation::Say(const std::string& text, const Settings& settings,
                                         const TextSink& sink) {
  messages_.push_back({Role::kUser, text});
  absl::StatusOr<Answer> answer = Complete(settings, sink);
  if (!answer.ok() || CameToNothing(*answer)) messages_.pop_back();
  return answer;
}

absl::StatusOr<Answer> Conversation::Regenerate(const Settings& settings, const TextSink& sink) {
  if (!has_turn()) {
    return absl::FailedPreconditionError(
        "there is no answer yet that another could take the place of");
  }
  Message last = std::move(messages_.back());
  messages_.pop_back();
  absl::StatusOr<Answer> answer = Complete(settings, sink);
  if (!answer.ok() || CameToNothing(*answer)) messages_.push_back(std::move(last));
  return answer;
}

absl::StatusOr<std::string> Conversation::Undo() {
  if (!has_turn()) return absl::FailedPreconditionError("there is no message to take back");
  messages_.pop_back();
  std::string text = std::move(messages_.back().content);
  messages_.pop_back();
  return text;
}

void Conversation::Clear() { messages_.resize(has_system() ? 1 : 0); }

std::string Conversation::system() const { return has_system() ? messages_[0].content : ""; }

void Conversation::SetSystem(const std::string& text) {
  if (has_system()) messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {Role::kSystem, text});
}

// Appends the model's answer to the last message, which is a user's; unless it came to nothing.
absl::StatusOr<Answer> Conversation::Complete(const Settings& settings, const TextSink& sink) {
  GEMMA_ASSIGN_OR_RETURN(
      const std::vector<int32_t> prompt,
      MakeChatPrompt(engine_, options_.chat_template, messages_, settings.thinking));
  GEMMA_RETURN_IF_ERROR(CheckPrompt(engine_, prompt.size()));
  GEMMA_ASSIGN_OR_RETURN(const size_t reused, KeepPrefix(session_, held_, prompt));
  held_ = prompt;
  std::string text;
  const auto collect = [&](const GeneratedText& piece) {
    text += piece.answer;
    sink(piece);
  };
  const absl::StatusOr<GenerationResult> result =
      Generate(engine_, session_, std::span(prompt).subspan(reused),
               {.max_new_tokens = settings.max_new_tokens,
                .sampling = settings.sampling,
                .chat_template = options_.chat_template,
                .cancelled = options_.cancelled,
                .prompt_chunk = options_.prefill_chunk,
                .prompt_progress = options_.progress},
               collect);
  if (result.ok()) held_.insert(held_.end(), result->tokens.begin(), result->tokens.end());
  held_.resize(std::min(held_.size(), static_cast<size_t>(session_.position())));
  GEMMA_RETURN_IF_ERROR(result.status());
  Answer answer = {*result, static_cast<int64_t>(prompt.size()), static_cast<int64_t>(reused)};
  if (!CameToNothing(answer)) messages_.push_back({Role::kModel, std::move(text)});
  return answer;
}

}  // namespace gemma::chat
