#include "cc/text/chat_template.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/gemma3_format.h"
#include "cc/text/gemma4_format.h"

namespace gemma {
namespace {

std::unique_ptr<TemplateFormat> FindFormat(std::string_view name) {
  if (name == "gemma3") return MakeGemma3Format();
  if (name == "gemma4") return MakeGemma4Format(Gemma4Edition::kJuly2026);
  if (name == "gemma4_april") return MakeGemma4Format(Gemma4Edition::kApril2026);
  return nullptr;
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

absl::StatusOr<ChatTemplate> ChatTemplate::Create(std::string_view name,
                                                  const Tokenizer& tokenizer) {
  std::shared_ptr<const TemplateFormat> format = FindFormat(name);
  if (format == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat template \"", std::string(name),
                     "\" is not known (gemma3, gemma4 and gemma4_april are)"));
  }
  for (const std::string_view token : format->RequiredTokens()) {
    if (tokenizer.ControlId(token) != -1) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("chat template ", std::string(name), " needs the special token ",
                     std::string(token), ", which the tokenizer does not have"));
  }
  return ChatTemplate(std::move(format), tokenizer);
}

ChatTemplate::ChatTemplate(std::shared_ptr<const TemplateFormat> format, const Tokenizer& tokenizer)
    : format_(std::move(format)), tokenizer_(&tokenizer) {
  if (format_->can_think()) {
    markers_.thought_opener = tokenizer.ControlId("<|channel>");
    markers_.thought_closer = tokenizer.ControlId("<channel|>");
  }
  if (format_->renders_tools()) {
    markers_.call_opener = tokenizer.ControlId("<|tool_call>");
    markers_.call_closer = tokenizer.ControlId("<tool_call|>");
    markers_.quote = tokenizer.ControlId("<|\"|>");
  }
}

absl::StatusOr<std::vector<PromptPiece>> ChatTemplate::Render(const std::vector<Message>& messages,
                                                              const ChatOptions& options) const {
  if (messages.empty()) return absl::InvalidArgumentError("the conversation has no messages");
  if (!renders_tools()) GEMMA_RETURN_IF_ERROR(CheckNoTools(messages, options));
  return format_->Render(messages, options);
}

absl::StatusOr<std::vector<int32_t>> ChatTemplate::Encode(const std::vector<Message>& messages,
                                                          const ChatOptions& options) const {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<PromptPiece> pieces, Render(messages, options));
  std::vector<int32_t> ids;
  for (const PromptPiece& piece : pieces) {
    if (piece.special) {
      const int32_t id = tokenizer_->ControlId(piece.text);
      if (id == -1) {
        return absl::FailedPreconditionError(
            absl::StrCat("the conversation needs the special token ", piece.text,
                         ", which the tokenizer does not have"));
      }
      ids.push_back(id);
      continue;
    }
    GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> text_ids, tokenizer_->Encode(piece.text, {}));
    ids.insert(ids.end(), text_ids.begin(), text_ids.end());
  }
  return ids;
}

}  // namespace gemma
