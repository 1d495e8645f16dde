#include "cc/runner/chat/input.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace gemma::chat {
namespace {

bool Leaves(absl::string_view text) { return text == "exit" || text == "quit" || text == "/quit"; }

const CommandDescription* FindCommand(absl::string_view name) {
  for (const CommandDescription& command : kCommands) {
    if (name == command.name) return &command;
  }
  return nullptr;
}

std::string Usage(const CommandDescription& command) {
  return absl::StrCat("/", command.name, *command.argument == 0 ? "" : " ", command.argument);
}

// `text` is what follows the slash.
absl::StatusOr<Input> ParseCommand(absl::string_view text) {
  const size_t end = text.find_first_of(" \t\n");
  const absl::string_view name = text.substr(0, end);
  const absl::string_view argument =
      end == absl::string_view::npos ? "" : absl::StripAsciiWhitespace(text.substr(end));
  const CommandDescription* command = FindCommand(name);
  if (command == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown command /", name, " (/help lists them; // begins a message with /)"));
  }
  if (*command->argument == 0 && !argument.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("/", name, " takes nothing after it, but \"", argument, "\" follows"));
  }
  if (command->needs_argument && argument.empty())
    return absl::InvalidArgumentError(absl::StrCat("write ", Usage(*command)));
  return Input{command->action, std::string(argument)};
}

}  // namespace

absl::StatusOr<Input> ParseInput(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (Leaves(text)) return Input{Action::kExit, ""};
  if (text.starts_with("//")) return Input{Action::kMessage, std::string(text.substr(1))};
  if (text.starts_with("/")) return ParseCommand(text.substr(1));
  return Input{Action::kMessage, std::string(text)};
}

std::string HelpText() {
  std::string text;
  for (const CommandDescription& command : kCommands)
    absl::StrAppend(&text, absl::StrFormat("  %-20s%s\n", Usage(command), command.help));
  absl::StrAppend(&text,
                  "A line that ends with \\ goes on in the next one; \"\"\" begins a message of "
                  "many lines, and ends it.\nCtrl-C stops an answer and keeps the conversation; // "
                  "begins a message with a slash.\n");
  return text;
}

}  // namespace gemma::chat
