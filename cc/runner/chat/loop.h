// The chat itself: reads messages and commands until the end, and does what they say. What fails is
// told, and the next line is read.
#ifndef CC_RUNNER_CHAT_LOOP_H_
#define CC_RUNNER_CHAT_LOOP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/runner/chat/conversation.h"
#include "cc/runner/chat/input.h"
#include "cc/runner/chat/settings.h"
#include "cc/runner/chat/terminal.h"

namespace gemma::chat {

// "gemma-3-270m on CPU (AVX-512, 2 threads), context of 8192 tokens, memory: weights 241 MB, ..."
std::string DescribeModel(const Engine& engine);

class Loop {
 public:
  struct Options {
    Settings settings;
    bool tells_speed = true;  // after each answer
    // Where a file lies that the user names.
    std::function<std::string(const std::string&)> user_path = [](const auto& path) {
      return path;
    };
  };

  // All must outlive this. `interrupted` becomes true when an answer shall stop.
  Loop(const Engine& engine, Conversation& conversation, Terminal& terminal,
       std::atomic<bool>& interrupted, Options options)
      : engine_(engine),
        conversation_(conversation),
        terminal_(terminal),
        interrupted_(interrupted),
        options_(std::move(options)),
        settings_(options_.settings) {}

  // Until /exit or the end of the input. Cancelled where it was interrupted while waiting for a
  // line; where no person has seen what went wrong, that becomes the result.
  absl::Status Run();

 private:
  absl::Status Act(const Input& input);
  absl::Status Say(const std::string& text);
  absl::Status Regenerate();
  absl::Status Undo();
  absl::Status Save(const std::string& file);
  absl::Status Load(const std::string& file);
  absl::Status Set(const std::string& name_and_value);
  void Clear();
  void SetSystem(const std::string& text);
  void TellStats();

  void Show(const GeneratedText& text);
  void Finish(const Answer& answer);

  const Engine& engine_;
  Conversation& conversation_;
  Terminal& terminal_;
  std::atomic<bool>& interrupted_;
  const Options options_;
  Settings settings_;
  int64_t answers_ = 0;
  int64_t new_tokens_ = 0;
  int64_t decode_calls_ = 0;
  double decode_seconds_ = 0;
};

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_LOOP_H_
