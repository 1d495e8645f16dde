// A terminal for tests: its lines are given, and what it is told is kept.
#ifndef CC_RUNNER_CHAT_FAKE_TERMINAL_H_
#define CC_RUNNER_CHAT_FAKE_TERMINAL_H_

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/runner/chat/terminal.h"

namespace gemma::chat {

class FakeTerminal final : public Terminal {
 public:
  explicit FakeTerminal(std::deque<std::string> lines, bool has_person = true)
      : lines_(std::move(lines)), has_person_(has_person) {}

  std::string answers;  // of EndAnswer, a line each
  std::string thoughts;
  std::string told;
  std::string errors;
  std::deque<bool> continued = {};  // of every ReadLine

  std::optional<std::string> ReadLine(bool goes_on) override {
    continued.push_back(goes_on);
    if (lines_.empty()) return std::nullopt;
    std::string line = std::move(lines_.front());
    lines_.pop_front();
    return line;
  }

  void WriteThought(absl::string_view text) override { absl::StrAppend(&thoughts, text); }
  void WriteAnswer(absl::string_view text) override { absl::StrAppend(&answers, text); }
  void EndAnswer() override { absl::StrAppend(&answers, "\n"); }
  void Tell(absl::string_view lines) override { absl::StrAppend(&told, lines, "\n"); }
  void TellError(absl::string_view sentence) override { absl::StrAppend(&errors, sentence, "\n"); }
  bool has_person() const override { return has_person_; }

 private:
  std::deque<std::string> lines_;
  const bool has_person_;
};

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_FAKE_TERMINAL_H_
