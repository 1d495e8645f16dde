#include "cc/text/gemma3_format.h"

#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/prompt_pieces.h"

namespace gemma {
namespace {

constexpr std::string_view kBos = "<bos>";
constexpr std::string_view kOpener = "<start_of_turn>";
constexpr std::string_view kCloser = "<end_of_turn>";

std::string RoleName(Role role) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kUser:
      return "user";
    case Role::kModel:
      return "model";
    case Role::kTool:
      return "tool";
  }
  return "unknown";
}

absl::Status CheckTurns(std::span<const Message> turns) {
  if (turns.empty())
    return absl::InvalidArgumentError(
        "gemma3 puts the system message into a user message; add one");
  for (size_t i = 0; i < turns.size(); ++i) {
    const Role expected = i % 2 == 0 ? Role::kUser : Role::kModel;
    if (turns[i].role != expected) {
      return absl::InvalidArgumentError(absl::StrCat(
          "gemma3 needs user and model to take turns, but message ", i + 1,
          " after the system message is ", RoleName(turns[i].role), ", not ", RoleName(expected)));
    }
  }
  return absl::OkStatus();
}

class Gemma3Format final : public TemplateFormat {
 public:
  absl::StatusOr<std::vector<PromptPiece>> Render(const std::vector<Message>& messages,
                                                  const ChatOptions& options) const override {
    if (options.thinking)
      return absl::InvalidArgumentError("gemma3 has no thinking mode; switch thinking off");
    const bool has_system = messages[0].role == Role::kSystem;
    const std::span<const Message> turns = std::span(messages).subspan(has_system ? 1 : 0);
    GEMMA_RETURN_IF_ERROR(CheckTurns(turns));
    PromptPieces prompt;
    prompt.Special(kBos);
    for (size_t i = 0; i < turns.size(); ++i) {
      prompt.Special(kOpener);
      prompt.Text(RoleName(turns[i].role) + "\n");
      if (i == 0 && has_system) prompt.Text(messages[0].content + "\n\n");
      prompt.Text(TrimAsPython(turns[i].content));
      prompt.Special(kCloser);
      prompt.Text("\n");
    }
    if (options.add_generation_prompt) {
      prompt.Special(kOpener);
      prompt.Text("model\n");
    }
    return prompt.Take();
  }

  std::vector<std::string_view> RequiredTokens() const override { return {kBos, kOpener, kCloser}; }
  bool renders_tools() const override { return false; }
  bool can_think() const override { return false; }
};

}  // namespace

std::unique_ptr<TemplateFormat> MakeGemma3Format() { return std::make_unique<Gemma3Format>(); }

}  // namespace gemma
