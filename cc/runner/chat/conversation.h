// A conversation with a model: its messages, and the session that holds them. What the session
// already holds of a prompt is not computed again, whatever was taken back or answered anew.
//
// Invariant: the messages are at most one system message, then users and models by turns, and the
// last one is a model's.
#ifndef CC_RUNNER_CHAT_CONVERSATION_H_
#define CC_RUNNER_CHAT_CONVERSATION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/engine/generation.h"
#include "cc/engine/prompt.h"
#include "cc/runner/chat/settings.h"

namespace gemma::chat {

struct Answer {
  GenerationResult result;
  int64_t prompt_tokens = 0;  // of the whole conversation
  int64_t reused_tokens = 0;  // of them, those that the session held
};

struct Options {
  std::string chat_template;
  int64_t prefill_chunk = 0;  // of a prompt's progress; 0: as many tokens as a call takes
  const std::atomic<bool>* cancelled = nullptr;
  PromptProgress progress = {};
};

using TextSink = std::function<void(const GeneratedText&)>;

class Conversation {
 public:
  // Engine and session must outlive this.
  Conversation(Engine& engine, Session& session, Options options)
      : engine_(engine), session_(session), options_(std::move(options)) {}

  // The message's answer, which both stay. Neither does after an error, nor where it was cancelled
  // before a token came. OutOfRange, with what to do, when the context has no room for it.
  absl::StatusOr<Answer> Say(const std::string& text, const Settings& settings,
                             const TextSink& sink);

  // Another answer to the last message, in the last one's place. After an error, or cancelled
  // before a token came, the last one stays. FailedPrecondition where there is none.
  absl::StatusOr<Answer> Regenerate(const Settings& settings, const TextSink& sink);

  // Forgets the last message and its answer, and returns the message.
  // FailedPrecondition where there is none.
  absl::StatusOr<std::string> Undo();

  // Forgets all but the system message.
  void Clear();

  // Empty: there is none. SetSystem keeps the other messages.
  std::string system() const;
  void SetSystem(const std::string& text);

  const std::vector<Message>& messages() const { return messages_; }
  void SetMessages(std::vector<Message> messages) { messages_ = std::move(messages); }

  // Tokens that the session holds.
  int64_t held_tokens() const { return session_.position(); }

 private:
  bool has_system() const { return !messages_.empty() && messages_[0].role == Role::kSystem; }
  bool has_turn() const { return messages_.size() >= (has_system() ? 3 : 2); }
  absl::StatusOr<Answer> Complete(const Settings& settings, const TextSink& sink);

  Engine& engine_;
  Session& session_;
  const Options options_;
  std::vector<Message> messages_;
  std::vector<int32_t> held_;  // tokens that the session holds, or the first of them
};

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_CONVERSATION_H_
