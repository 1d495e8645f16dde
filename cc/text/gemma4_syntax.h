// How Gemma 4 writes JSON values and tool declarations: keys without quotes in sorted order, strings
// between quote tokens (`format_argument`, `format_parameters` and `format_function_declaration` of
// the chat template).
#ifndef CC_TEXT_GEMMA4_SYNTAX_H_
#define CC_TEXT_GEMMA4_SYNTAX_H_

#include <string_view>

#include "absl/status/status.h"
#include "cc/text/conversation.h"
#include "cc/text/prompt_pieces.h"

namespace gemma {

enum class Gemma4Edition {
  // Of 28 April 2026. Thoughts are kept only where a call follows; null is written None; a property
  // of a tool named description, type, properties, required or nullable is left out; a turn that
  // goes on in the next message is closed twice.
  kApril2026,
  // Of 15 July 2026 ("null handling, reasoning preservation, turn-tag balance, input validation"),
  // which corrects these; and where thinking is on, the model goes on thinking after a result.
  kJuly2026,
};

inline constexpr std::string_view kQuoteToken = "<|\"|>";

// Appends `declaration:NAME{...}`. InvalidArgument when the parameters are not JSON of an object,
// are nested deeper than 64 levels, or have a part that the template would not read as a schema's.
absl::Status WriteDeclaration(const ToolDefinition& tool, Gemma4Edition edition,
                              PromptPieces& prompt);

// Appends the members of the JSON object in `arguments`, without the outer braces; nothing for an
// empty text or null. InvalidArgument for anything else, and nested deeper than 64 levels.
absl::Status WriteArguments(const ToolCall& call, Gemma4Edition edition, PromptPieces& prompt);

// Appends a text between quote tokens.
void WriteQuoted(std::string_view text, PromptPieces& prompt);

}  // namespace gemma

#endif  // CC_TEXT_GEMMA4_SYNTAX_H_
