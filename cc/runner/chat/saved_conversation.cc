#include "cc/runner/chat/saved_conversation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/file.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/base/write_file.h"
#include "cc/engine/strict_json.h"
#include "nlohmann/json.hpp"

namespace gemma::chat {
namespace {

constexpr uint64_t kMaxBytes = 64 << 20;

absl::string_view RoleName(Role role) {
  if (role == Role::kSystem) return "system";
  return role == Role::kUser ? "user" : "assistant";
}

absl::StatusOr<Message> ReadMessage(const nlohmann::json& value, const std::string& where,
                                    size_t number, bool first, Role expected) {
  StrictObject object(value, where, absl::StrCat("message ", number));
  GEMMA_ASSIGN_OR_RETURN(const std::string role, object.Text("role"));
  GEMMA_ASSIGN_OR_RETURN(std::string content, object.Text("content"));
  GEMMA_RETURN_IF_ERROR(object.Finish());
  if (first && role == RoleName(Role::kSystem)) return Message{Role::kSystem, std::move(content)};
  if (role == RoleName(expected)) return Message{expected, std::move(content)};
  return object.Refuse(
      "role", absl::StrCat("is ", Shown(role), ", but ", RoleName(expected), " comes next"));
}

}  // namespace

std::string ToJson(const std::vector<Message>& messages) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Message& message : messages)
    list.push_back({{"role", RoleName(message.role)}, {"content", message.content}});
  const nlohmann::ordered_json document = {{"messages", std::move(list)}};
  return document.dump(/*indent=*/2, ' ', /*ensure_ascii=*/false,
                       nlohmann::json::error_handler_t::replace) +
         "\n";
}

absl::StatusOr<std::vector<Message>> FromJson(const std::string& text, const std::string& where) {
  GEMMA_ASSIGN_OR_RETURN(const nlohmann::json document, ParseStrictJson(text, where));
  StrictObject object(document, where, "the conversation");
  GEMMA_ASSIGN_OR_RETURN(const nlohmann::json* list, object.Array("messages"));
  GEMMA_RETURN_IF_ERROR(object.Finish());
  std::vector<Message> messages;
  Role expected = Role::kUser;
  for (const nlohmann::json& value : *list) {
    GEMMA_ASSIGN_OR_RETURN(Message message, ReadMessage(value, where, messages.size() + 1,
                                                        messages.empty(), expected));
    if (message.role != Role::kSystem)
      expected = message.role == Role::kUser ? Role::kModel : Role::kUser;
    messages.push_back(std::move(message));
  }
  if (expected == Role::kUser) return messages;
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": the last message is the user's, but a saved conversation ends with an answer"));
}

absl::Status SaveConversation(const std::vector<Message>& messages, const std::string& path) {
  return WriteFile(path, ToJson(messages));
}

absl::StatusOr<std::vector<Message>> LoadConversation(const std::string& path) {
  GEMMA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxBytes));
  return FromJson(text, path);
}

}  // namespace gemma::chat
