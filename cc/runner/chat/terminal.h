// Where a chat's lines come from and its words go: the interface. editing_terminal.h is a person's,
// plain_terminal.h a pipe's, fake_terminal.h a test's.
#ifndef CC_RUNNER_CHAT_TERMINAL_H_
#define CC_RUNNER_CHAT_TERMINAL_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma::chat {

class Terminal {
 public:
  virtual ~Terminal() = default;

  // The next line, without its end; none at the end of the input. `continued`: it goes on with a
  // message whose first lines were read.
  virtual std::optional<std::string> ReadLine(bool continued) = 0;

  // Pieces of the model's words, as they come.
  virtual void WriteThought(absl::string_view text) = 0;
  virtual void WriteAnswer(absl::string_view text) = 0;
  virtual void EndAnswer() = 0;

  // Lines about the chat, which are no part of it.
  virtual void Tell(absl::string_view lines) = 0;
  // The same of what went wrong.
  virtual void TellError(absl::string_view sentence) = 0;

  // Whether somebody sits before it, who has seen what went wrong.
  virtual bool has_person() const = 0;
};

// One message or command, of as many lines as it has: a line that ends with a backslash goes on in
// the next one, and what begins with three quotes goes on until a line ends with three. None at the
// end of the input; InvalidArgument where that comes in the middle of a message.
absl::StatusOr<std::optional<std::string>> ReadMessage(Terminal& terminal);

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_TERMINAL_H_
