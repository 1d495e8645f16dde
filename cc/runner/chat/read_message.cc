#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/runner/chat/terminal.h"

namespace gemma::chat {
namespace {

constexpr absl::string_view kQuotes = "\"\"\"";

using Message = std::optional<std::string>;

// `text` is what follows the opening quotes.
absl::StatusOr<Message> ReadQuoted(Terminal& terminal, std::string text) {
  while (!text.ends_with(kQuotes)) {
    const std::optional<std::string> line = terminal.ReadLine(/*continued=*/true);
    if (!line.has_value()) {
      return absl::InvalidArgumentError(
          "the input ended inside of a message that \"\"\" began (end it with \"\"\")");
    }
    absl::StrAppend(&text, "\n", absl::StripTrailingAsciiWhitespace(*line));
  }
  text.resize(text.size() - kQuotes.size());
  return text;
}

}  // namespace

absl::StatusOr<Message> ReadMessage(Terminal& terminal) {
  Message line = terminal.ReadLine(/*continued=*/false);
  if (!line.has_value()) return line;
  std::string text = *std::move(line);
  while (text.ends_with("\\")) {
    const Message next = terminal.ReadLine(/*continued=*/true);
    if (!next.has_value()) break;
    text.back() = '\n';
    absl::StrAppend(&text, *next);
  }
  absl::StripAsciiWhitespace(&text);
  if (!text.starts_with(kQuotes)) return text;
  return ReadQuoted(terminal, text.substr(kQuotes.size()));
}

}  // namespace gemma::chat
