#include "cc/text/conversation.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/shown.h"

namespace gemma {

absl::StatusOr<Role> ParseRole(std::string_view name) {
  if (name == "system" || name == "developer") return Role::kSystem;
  if (name == "user") return Role::kUser;
  if (name == "model" || name == "assistant") return Role::kModel;
  if (name == "tool") return Role::kTool;
  return absl::InvalidArgumentError(
      absl::StrCat("role \"", Shown(name),
                   "\" is not known (system, developer, user, model, assistant, tool are)"));
}

}  // namespace gemma
