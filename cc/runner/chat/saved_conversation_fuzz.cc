// Whatever a saved conversation's file says, it is refused in a sentence, or is the same
// conversation once it is saved and loaded again: a system message first, if any, then users and
// answers by turns.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "cc/runner/chat/saved_conversation.h"

namespace gemma::fuzzing {

bool Accepts(absl::string_view bytes) {
  const auto messages = chat::FromJson(std::string(bytes), "saved.json");
  if (!messages.ok()) {
    CheckRefusal(messages.status());
    return false;
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    const bool system = !messages->empty() && (*messages)[0].role == Role::kSystem;
    const Role turn = (i + system) % 2 == 0 ? Role::kUser : Role::kModel;
    Check((*messages)[i].role == (system && i == 0 ? Role::kSystem : turn),
          "messages come by turns");
  }
  const std::string saved = chat::ToJson(*messages);
  const auto again = chat::FromJson(saved, "saved.json");
  Check(again.ok() && again->size() == messages->size() && chat::ToJson(*again) == saved,
        "a conversation is the same once it is saved:", saved);
  for (size_t i = 0; i < messages->size(); ++i)
    Check((*again)[i].content == (*messages)[i].content, "a message is the same once it is saved");
  return true;
}

std::vector<std::string> Seeds() {
  return {chat::ToJson({{Role::kSystem, "Be brief."},
                        {Role::kUser, "Hi\n\"\xC3\xA9\""},
                        {Role::kModel, "Hello"}}),
          chat::ToJson({})};
}

}  // namespace gemma::fuzzing
