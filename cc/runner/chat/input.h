// What a person types in a chat: a message, or a command that begins with a slash. The one table of
// commands; knows nothing of terminals or models.
#ifndef CC_RUNNER_CHAT_INPUT_H_
#define CC_RUNNER_CHAT_INPUT_H_

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma::chat {

enum class Action {
  kMessage,
  kHelp,
  kSystem,
  kSet,
  kRegenerate,
  kUndo,
  kSave,
  kLoad,
  kClear,
  kStats,
  kExit
};

struct CommandDescription {
  Action action;
  const char* name;      // without the slash
  const char* argument;  // as help shows it; empty: it takes none
  bool needs_argument;
  const char* help;
};

inline constexpr std::array<CommandDescription, 10> kCommands = {{
    {Action::kHelp, "help", "", false, "this list"},
    {Action::kSystem, "system", "[TEXT]", false,
     "show or set the instructions for the conversation; - removes them"},
    {Action::kSet, "set", "[NAME VALUE]", false, "show or change how answers are written"},
    {Action::kRegenerate, "regen", "", false, "answer the last message again"},
    {Action::kUndo, "undo", "", false, "forget the last message and its answer"},
    {Action::kSave, "save", "FILE", true, "write the conversation to a file"},
    {Action::kLoad, "load", "FILE", true, "go on with a conversation from a file"},
    {Action::kClear, "clear", "", false, "start a new conversation"},
    {Action::kStats, "stats", "", false, "tokens, speed and memory so far"},
    {Action::kExit, "exit", "", false, "end (also exit, /quit, Ctrl-D)"},
}};

struct Input {
  Action action = Action::kMessage;
  std::string text;  // the message, or the command's argument

  bool operator==(const Input&) const = default;
};

// "/save a.json", "exit", "Hello". "//x" is the message "/x". InvalidArgument for an unknown command
// and for an argument that is missing or too many. White space around the text does not count.
absl::StatusOr<Input> ParseInput(absl::string_view text);

// All commands, a line each, and how lines are joined to one message.
std::string HelpText();

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_INPUT_H_
