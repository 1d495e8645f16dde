// ChatTemplate: a conversation to the token ids of a prompt, as the model was trained to read it.
//
// What users write is text and stays text: only the template itself makes special tokens, so
// "<turn|>" in a message cannot end a turn. BOS is the first token of the prompt, once.
//
//   GEMMA_ASSIGN_OR_RETURN(ChatTemplate chat, ChatTemplate::Create("gemma4", *tokenizer));
//   GEMMA_ASSIGN_OR_RETURN(auto ids, chat.Encode({{Role::kUser, "Hi"}}, {.thinking = true}));
#ifndef CC_TEXT_CHAT_TEMPLATE_H_
#define CC_TEXT_CHAT_TEMPLATE_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/text/conversation.h"
#include "cc/text/template_format.h"
#include "cc/text/tokenizer.h"

namespace gemma {

// The ids of the special tokens that give an answer its form; -1 where there is none.
struct AnswerMarkers {
  int32_t thought_opener = -1;
  int32_t thought_closer = -1;
  int32_t call_opener = -1;
  int32_t call_closer = -1;
  int32_t quote = -1;  // around the strings of a call

  bool Has(int32_t id) const {
    return id >= 0 && (id == thought_opener || id == thought_closer || id == call_opener ||
                       id == call_closer || id == quote);
  }
};

class ChatTemplate {
 public:
  // `name`: gemma3, gemma4 (Google's template of July 2026) or gemma4_april (that of April 2026).
  // FailedPrecondition when the tokenizer lacks one of the template's special tokens. `tokenizer`
  // must outlive this.
  static absl::StatusOr<ChatTemplate> Create(std::string_view name, const Tokenizer& tokenizer);

  // InvalidArgument when the template has no words for the conversation.
  // No two pieces of text are neighbours.
  absl::StatusOr<std::vector<PromptPiece>> Render(const std::vector<Message>& messages,
                                                  const ChatOptions& options) const;

  // The ids of Render's pieces.
  absl::StatusOr<std::vector<int32_t>> Encode(const std::vector<Message>& messages,
                                              const ChatOptions& options) const;

  // Whether Render has words for tools, their calls and results.
  bool renders_tools() const { return format_->renders_tools(); }
  // Whether it has words for a model that thinks.
  bool can_think() const { return format_->can_think(); }

  // What an answer to such a prompt is parsed by (make_answer_parser.h).
  const AnswerMarkers& answer_markers() const { return markers_; }

 private:
  ChatTemplate(std::shared_ptr<const TemplateFormat> format, const Tokenizer& tokenizer);

  std::shared_ptr<const TemplateFormat> format_;
  const Tokenizer* tokenizer_;
  AnswerMarkers markers_;
};

}  // namespace gemma

#endif  // CC_TEXT_CHAT_TEMPLATE_H_
