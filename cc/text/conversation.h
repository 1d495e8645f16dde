// What is said in a chat, as every template of it takes it:
// messages, tools, and how the model shall answer.
#ifndef CC_TEXT_CONVERSATION_H_
#define CC_TEXT_CONVERSATION_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace gemma {

enum class Role { kSystem, kUser, kModel, kTool };

// From "system" or "developer", "user", "model" or "assistant", "tool".
absl::StatusOr<Role> ParseRole(std::string_view name);

// A function that the model may call.
struct ToolDefinition {
  std::string name;
  std::string description = {};
  std::string parameters = {};  // JSON text of a JSON schema; empty: it takes none
  bool strict = false;          // every call's arguments must be of that schema
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
  bool thinking = false;
  bool add_generation_prompt = true;  // end with the opening of the model's turn
  std::vector<ToolDefinition> tools = {};
};

// A stretch of a prompt: one special token, or text that holds none.
struct PromptPiece {
  bool special = false;
  std::string text;

  bool operator==(const PromptPiece&) const = default;
};

}  // namespace gemma

#endif  // CC_TEXT_CONVERSATION_H_
