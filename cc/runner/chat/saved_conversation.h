// A conversation as a file: JSON in the form of OpenAI's requests,
//   {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]}
// so that it can be sent to a server, or written by hand. Text alone: no tools, no thoughts.
#ifndef CC_RUNNER_CHAT_SAVED_CONVERSATION_H_
#define CC_RUNNER_CHAT_SAVED_CONVERSATION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/prompt.h"

namespace gemma::chat {

std::string ToJson(const std::vector<Message>& messages);

// InvalidArgument, naming `where`, for anything that ToJson does not write: at most one system
// message, which comes first, then users and assistants by turns, the last one an assistant's.
absl::StatusOr<std::vector<Message>> FromJson(const std::string& text, const std::string& where);

absl::Status SaveConversation(const std::vector<Message>& messages, const std::string& path);
absl::StatusOr<std::vector<Message>> LoadConversation(const std::string& path);

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_SAVED_CONVERSATION_H_
