#include "cc/text/chat_template.h"

#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/thinking_splitter.h"
#include "cc/text/utf8.h"

namespace gemma {
namespace {

constexpr std::string_view kBos = "<bos>";
constexpr std::string_view kThink = "<|think|>";

// How a format marks a turn: <opener>role\n...<closer>\n
struct TurnMarkers {
  std::string_view opener;
  std::string_view closer;
};

constexpr TurnMarkers kGemma3Turn = {"<start_of_turn>", "<end_of_turn>"};
constexpr TurnMarkers kGemma4Turn = {"<|turn>", "<turn|>"};

std::string_view RoleName(Role role) {
  return role == Role::kSystem ? "system" : role == Role::kUser ? "user" : "model";
}

// Collects a prompt; neighbouring texts become one, since a text's ids depend on what is beside it.
class Prompt {
 public:
  explicit Prompt(const TurnMarkers& turn) : turn_(turn) {}

  void Special(std::string_view token) { pieces_.push_back({true, std::string(token)}); }

  void Text(std::string_view text) {
    if (text.empty()) return;
    if (pieces_.empty() || pieces_.back().special) pieces_.push_back({false, ""});
    pieces_.back().text += text;
  }

  void OpenTurn(Role role) {
    Special(turn_.opener);
    Text(RoleName(role));
    Text("\n");
  }

  void CloseTurn() {
    Special(turn_.closer);
    Text("\n");
  }

  std::vector<PromptPiece> TakePieces() { return std::move(pieces_); }

 private:
  TurnMarkers turn_;
  std::vector<PromptPiece> pieces_;
};

// The characters that Python's str.strip removes, and with it the templates' `trim`.
bool IsWhitespace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string_view Trim(std::string_view text) {
  size_t begin = 0;
  size_t end = 0;  // after the last character that stays
  for (size_t at = 0; at < text.size();) {
    const CodePoint character = DecodeCodePoint(text, at);
    const size_t next = at + (character.bytes > 0 ? character.bytes : 1);
    const bool space = character.bytes > 0 && IsWhitespace(character.value);
    if (space && at == begin) begin = next;
    if (!space) end = next;
    at = next;
  }
  return end > begin ? text.substr(begin, end - begin) : std::string_view();
}

// The text outside of thought channels. Everything from an opener to the next closer is a channel,
// also without either.
std::string WithoutThoughts(std::string_view text) {
  std::string kept;
  while (!text.empty()) {
    const size_t closer = text.find(kThoughtCloser);
    const std::string_view part = text.substr(0, closer);
    kept += part.substr(0, part.find(kThoughtOpener));
    text.remove_prefix(closer == std::string_view::npos ? text.size()
                                                        : closer + kThoughtCloser.size());
  }
  return kept;
}

void RenderGemma4Turn(const Message& message, bool continues, Prompt& prompt) {
  // Two messages of the model in a row are one turn to the template, closed twice.
  if (!continues) prompt.OpenTurn(message.role);
  if (message.role == Role::kModel) {
    prompt.Text(Trim(WithoutThoughts(message.content)));
  } else {
    prompt.Text(Trim(message.content));
  }
  prompt.CloseTurn();
}

std::vector<PromptPiece> RenderGemma4(std::span<const Message> messages,
                                      const ChatOptions& options) {
  Prompt prompt(kGemma4Turn);
  prompt.Special(kBos);
  const bool has_system = messages[0].role == Role::kSystem;
  if (options.thinking || has_system) {
    prompt.OpenTurn(Role::kSystem);
    if (options.thinking) {
      prompt.Special(kThink);
      prompt.Text("\n");
    }
    if (has_system) prompt.Text(Trim(messages[0].content));
    prompt.CloseTurn();
  }
  const std::span<const Message> turns = messages.subspan(has_system ? 1 : 0);
  for (size_t i = 0; i < turns.size(); ++i) {
    const bool continues =
        i > 0 && turns[i].role == Role::kModel && turns[i - 1].role == Role::kModel;
    RenderGemma4Turn(turns[i], continues, prompt);
  }
  if (options.add_generation_prompt) {
    prompt.OpenTurn(Role::kModel);
    if (!options.thinking) {  // an empty thought, so that the model begins with its answer
      prompt.Special(kThoughtOpener);
      prompt.Text(kThoughtTitle);
      prompt.Special(kThoughtCloser);
    }
  }
  return prompt.TakePieces();
}

absl::Status CheckGemma3(std::span<const Message> turns, const ChatOptions& options) {
  if (options.thinking)
    return absl::InvalidArgumentError("gemma3 has no thinking mode; switch thinking off");
  if (turns.empty())
    return absl::InvalidArgumentError(
        "gemma3 puts the system message into a user message; add one");
  for (size_t i = 0; i < turns.size(); ++i) {
    const Role expected = i % 2 == 0 ? Role::kUser : Role::kModel;
    if (turns[i].role != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat("gemma3 needs user and model to take turns, but message ", i + 1,
                       " after the system message is ", std::string(RoleName(turns[i].role)),
                       ", not ", std::string(RoleName(expected))));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PromptPiece>> RenderGemma3(std::span<const Message> messages,
                                                      const ChatOptions& options) {
  const bool has_system = messages[0].role == Role::kSystem;
  const std::span<const Message> turns = messages.subspan(has_system ? 1 : 0);
  GEMMA_RETURN_IF_ERROR(CheckGemma3(turns, options));
  Prompt prompt(kGemma3Turn);
  prompt.Special(kBos);
  for (size_t i = 0; i < turns.size(); ++i) {
    prompt.OpenTurn(turns[i].role);
    if (i == 0 && has_system) prompt.Text(messages[0].content + "\n\n");
    prompt.Text(Trim(turns[i].content));
    prompt.CloseTurn();
  }
  if (options.add_generation_prompt) prompt.OpenTurn(Role::kModel);
  return prompt.TakePieces();
}

// What is sent is said or refused, never left out.
absl::Status CheckNoTools(const std::vector<Message>& messages, const ChatOptions& options) {
  bool tools = !options.tools.empty();
  for (const Message& message : messages)
    tools = tools || message.role == Role::kTool || !message.tool_calls.empty();
  if (!tools) return absl::OkStatus();
  return absl::InvalidArgumentError("this chat template has no words for tools (leave them away)");
}

}  // namespace

absl::StatusOr<Role> ParseRole(std::string_view name) {
  if (name == "system" || name == "developer") return Role::kSystem;
  if (name == "user") return Role::kUser;
  if (name == "model" || name == "assistant") return Role::kModel;
  if (name == "tool") return Role::kTool;
  return absl::InvalidArgumentError(
      absl::StrCat("role \"", std::string(name),
                   "\" is not known (system, developer, user, model, assistant, tool are)"));
}

absl::StatusOr<ChatTemplate> ChatTemplate::Create(std::string_view name,
                                                  const Tokenizer& tokenizer) {
  std::vector<std::string_view> tokens;
  if (name == "gemma3") {
    tokens = {kBos, kGemma3Turn.opener, kGemma3Turn.closer};
  } else if (name == "gemma4") {
    tokens = {kBos, kGemma4Turn.opener, kGemma4Turn.closer, kThink, kThoughtOpener, kThoughtCloser};
  } else {
    return absl::InvalidArgumentError(absl::StrCat("chat template \"", std::string(name),
                                                   "\" is not known (gemma3 and gemma4 are)"));
  }
  for (const std::string_view token : tokens) {
    if (tokenizer.ControlId(token) != -1) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("chat template ", std::string(name), " needs the special token ",
                     std::string(token), ", which the tokenizer does not have"));
  }
  ChatTemplate chat(name == "gemma3" ? Format::kGemma3 : Format::kGemma4, tokenizer);
  if (chat.format_ == Format::kGemma4) {
    chat.thought_markers_ = {tokenizer.ControlId(kThoughtOpener),
                             tokenizer.ControlId(kThoughtCloser)};
  }
  return chat;
}

absl::StatusOr<std::vector<PromptPiece>> ChatTemplate::Render(const std::vector<Message>& messages,
                                                              const ChatOptions& options) const {
  if (messages.empty()) return absl::InvalidArgumentError("the conversation has no messages");
  if (!renders_tools()) GEMMA_RETURN_IF_ERROR(CheckNoTools(messages, options));
  if (format_ == Format::kGemma3) return RenderGemma3(messages, options);
  return RenderGemma4(messages, options);
}

absl::StatusOr<std::vector<int32_t>> ChatTemplate::Encode(const std::vector<Message>& messages,
                                                          const ChatOptions& options) const {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<PromptPiece> pieces, Render(messages, options));
  std::vector<int32_t> ids;
  for (const PromptPiece& piece : pieces) {
    if (piece.special) {
      ids.push_back(tokenizer_->ControlId(piece.text));
      continue;
    }
    GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> text_ids, tokenizer_->Encode(piece.text, {}));
    ids.insert(ids.end(), text_ids.begin(), text_ids.end());
  }
  return ids;
}

}  // namespace gemma
