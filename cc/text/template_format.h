// TemplateFormat: one chat template, as a program that writes a conversation down. The interface
// that ChatTemplate sees; gemma3_format.h, gemma4_format.h and jinja_format.h implement it.
#ifndef CC_TEXT_TEMPLATE_FORMAT_H_
#define CC_TEXT_TEMPLATE_FORMAT_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/text/conversation.h"

namespace gemma {

class TemplateFormat {
 public:
  virtual ~TemplateFormat() = default;

  // InvalidArgument when the template has no words for the conversation,
  // which has at least one message. What the messages say is text,
  // whatever they spell. No two pieces of text are neighbours.
  virtual absl::StatusOr<std::vector<PromptPiece>> Render(const std::vector<Message>& messages,
                                                          const ChatOptions& options) const = 0;

  // The special tokens that every prompt may need; a tokenizer without one cannot use the format.
  virtual std::vector<std::string_view> RequiredTokens() const = 0;

  // Whether it has words for tools, their calls and results.
  virtual bool renders_tools() const = 0;
  // Whether it has words for a model that thinks.
  virtual bool can_think() const = 0;
};

}  // namespace gemma

#endif  // CC_TEXT_TEMPLATE_FORMAT_H_
