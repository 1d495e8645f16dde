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
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/text/tokenizer.h"

namespace gemma {

enum class Role { kSystem, kUser, kModel, kTool };

// From "system" or "developer", "user", "model" or "assistant", "tool".
absl::StatusOr<Role> ParseRole(std::string_view name);

// A function that the model may call.
struct ToolDefinition {
  std::string name;
  std::string description = {};
  std::string parameters = {};  // JSON text of a JSON schema; empty: it takes none
};

// A call that the model made.
struct ToolCall {
  std::string id;  // the client's name for it
  std::string name;
  std::string arguments;  // JSON text of an object
};

struct Message {
  Role role = Role::kUser;
  std::string content;         // of kTool: the call's result
  std::string reasoning = {};  // of kModel: its thoughts, where the client sent them back
  std::vector<ToolCall> tool_calls = {};  // of kModel, after content
  std::string tool_call_id = {};          // of kTool: the call that this answers
  std::string tool_name = {};             // of kTool: the function's name; may be empty
};

struct ChatOptions {
  bool thinking = false;              // gemma4 only
  bool add_generation_prompt = true;  // end with the opening of the model's turn
  std::vector<ToolDefinition> tools = {};
};

// A stretch of a prompt: one special token, or text that holds none.
struct PromptPiece {
  bool special = false;
  std::string text;

  bool operator==(const PromptPiece&) const = default;
};

class ChatTemplate {
 public:
  // `name`: gemma3 or gemma4. FailedPrecondition when the tokenizer lacks one of the template's
  // special tokens. `tokenizer` must outlive this.
  static absl::StatusOr<ChatTemplate> Create(std::string_view name, const Tokenizer& tokenizer);

  // InvalidArgument when the template has no words for the conversation.
  // No two pieces of text are neighbours.
  absl::StatusOr<std::vector<PromptPiece>> Render(const std::vector<Message>& messages,
                                                  const ChatOptions& options) const;

  // The ids of Render's pieces.
  absl::StatusOr<std::vector<int32_t>> Encode(const std::vector<Message>& messages,
                                              const ChatOptions& options) const;

  // Whether Render has words for tools, their calls and results.
  bool renders_tools() const { return false; }
  // Whether it has words for a model that thinks.
  bool can_think() const { return format_ == Format::kGemma4; }

  // The special tokens that ThinkingSplitter needs to see in the model's text; empty for gemma3.
  const std::vector<int32_t>& thought_markers() const { return thought_markers_; }

 private:
  enum class Format { kGemma3, kGemma4 };

  ChatTemplate(Format format, const Tokenizer& tokenizer)
      : format_(format), tokenizer_(&tokenizer) {}

  Format format_;
  const Tokenizer* tokenizer_;
  std::vector<int32_t> thought_markers_;
};

}  // namespace gemma

#endif  // CC_TEXT_CHAT_TEMPLATE_H_
