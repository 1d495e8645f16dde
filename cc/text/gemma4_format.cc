#include "cc/text/gemma4_format.h"

#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/gemma4_syntax.h"
#include "cc/text/prompt_pieces.h"

namespace gemma {
namespace {

constexpr std::string_view kTurn = "<|turn>";
constexpr std::string_view kTurnEnd = "<turn|>";
constexpr std::string_view kThought = "<|channel>";
constexpr std::string_view kThoughtEnd = "<channel|>";

std::string_view RoleName(Role role) {
  return role == Role::kSystem ? "system" : role == Role::kUser ? "user" : "model";
}

// The text outside of thought channels. Everything from an opener to the next closer is a channel,
// also without either.
std::string WithoutThoughts(std::string_view text) {
  std::string kept;
  while (!text.empty()) {
    const size_t closer = text.find(kThoughtEnd);
    const std::string_view part = text.substr(0, closer);
    kept += part.substr(0, part.find(kThought));
    text.remove_prefix(closer == std::string_view::npos ? text.size()
                                                        : closer + kThoughtEnd.size());
  }
  return kept;
}

// One rendering. The results of tools are written with the message that called them.
class Rendering {
 public:
  Rendering(std::span<const Message> messages, const ChatOptions& options, Gemma4Edition edition)
      : messages_(messages),
        options_(options),
        july_(edition == Gemma4Edition::kJuly2026),
        edition_(edition) {}

  absl::StatusOr<std::vector<PromptPiece>> Run() {
    prompt_.Special("<bos>");
    const bool has_system = messages_[0].role == Role::kSystem;
    if (options_.thinking || has_system || !options_.tools.empty())
      GEMMA_RETURN_IF_ERROR(WriteSystemTurn(has_system ? messages_[0].content : ""));
    if (has_system) messages_ = messages_.subspan(1);
    GEMMA_RETURN_IF_ERROR(CheckResults());
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role == Role::kUser) last_user_ = static_cast<int64_t>(i);
    }
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role != Role::kTool) GEMMA_RETURN_IF_ERROR(WriteMessage(i));
    }
    if (options_.add_generation_prompt) OpenAnswer();
    return prompt_.Take();
  }

 private:
  enum class Last { kOther, kCall, kResult };

  absl::Status WriteSystemTurn(std::string_view content) {
    OpenTurn("system");
    if (options_.thinking) {
      prompt_.Special("<|think|>");
      prompt_.Text("\n");
    }
    prompt_.Text(TrimAsPython(content));
    for (const ToolDefinition& tool : options_.tools) {
      prompt_.Special("<|tool>");
      GEMMA_RETURN_IF_ERROR(WriteDeclaration(tool, edition_, prompt_));
      prompt_.Special("<tool|>");
    }
    CloseTurn();
    return absl::OkStatus();
  }

  // What the template would leave out is refused.
  absl::Status CheckResults() const {
    bool follows_call = false;
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role != Role::kTool) {
        follows_call = !messages_[i].tool_calls.empty();
      } else if (!follows_call) {
        return absl::InvalidArgumentError(
            absl::StrCat("message ", i + 1,
                         " after the system message is a tool's result, but no "
                         "message with a tool call comes before it"));
      }
      if (messages_[i].role != Role::kModel && !messages_[i].tool_calls.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "message ", i + 1, " after the system message calls a tool, but is not the model's"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status WriteMessage(size_t i) {
    const Message& message = messages_[i];
    const bool of_model = message.role == Role::kModel;
    last_ = Last::kOther;
    if (!of_model || !ModelSpokeBefore(i)) OpenTurn(RoleName(message.role));
    WriteThought(i);
    for (const ToolCall& call : message.tool_calls) GEMMA_RETURN_IF_ERROR(WriteCall(call));
    if (!message.tool_calls.empty()) WriteResults(i);
    const std::string content(
        TrimAsPython(of_model ? WithoutThoughts(message.content) : message.content));
    prompt_.Text(content);
    if (last_ == Last::kCall) {
      prompt_.Special("<|tool_response>");
    } else if (EndsTurn(i, content)) {
      CloseTurn();
    }
    return absl::OkStatus();
  }

  // Whether the turn of message i, which may have called tools and has their results, ends with it.
  bool EndsTurn(size_t i, const std::string& content) const {
    const bool has_results = last_ == Last::kResult;
    if (!july_) return !has_results || !messages_[i].content.empty();
    const size_t next = NextWithoutResults(i);
    const bool goes_on = messages_[i].role == Role::kModel && next < messages_.size() &&
                         messages_[next].role == Role::kModel;
    const bool awaits_answer = has_results && content.empty() && next == messages_.size();
    return !goes_on && !awaits_answer;
  }

  void WriteThought(size_t i) {
    const Message& message = messages_[i];
    const bool kept =
        static_cast<int64_t>(i) > last_user_ && (july_ || !message.tool_calls.empty());
    if (message.reasoning.empty() || !kept) return;
    prompt_.Special(kThought);
    prompt_.Text("thought\n" + message.reasoning + "\n");
    prompt_.Special(kThoughtEnd);
  }

  absl::Status WriteCall(const ToolCall& call) {
    prompt_.Special("<|tool_call>");
    prompt_.Text("call:" + call.name + "{");
    GEMMA_RETURN_IF_ERROR(WriteArguments(call, edition_, prompt_));
    prompt_.Text("}");
    prompt_.Special("<tool_call|>");
    last_ = Last::kCall;
    return absl::OkStatus();
  }

  void WriteResults(size_t i) {
    for (size_t k = i + 1; k < messages_.size() && messages_[k].role == Role::kTool; ++k) {
      prompt_.Special("<|tool_response>");
      prompt_.Text("response:" + ToolName(messages_[i], messages_[k]) + "{value:");
      WriteQuoted(messages_[k].content, prompt_);
      prompt_.Text("}");
      prompt_.Special("<tool_response|>");
      last_ = Last::kResult;
    }
  }

  static std::string ToolName(const Message& caller, const Message& result) {
    std::string name = result.tool_name.empty() ? "unknown" : result.tool_name;
    for (const ToolCall& call : caller.tool_calls) {
      if (call.id == result.tool_call_id) name = call.name;
    }
    return name;
  }

  bool ModelSpokeBefore(size_t i) const {
    while (i > 0 && messages_[i - 1].role == Role::kTool) --i;
    return i > 0 && messages_[i - 1].role == Role::kModel;
  }

  size_t NextWithoutResults(size_t i) const {
    do ++i;
    while (i < messages_.size() && messages_[i].role == Role::kTool);
    return i;
  }

  // Without thinking, an empty thought makes the model begin with its answer.
  void OpenAnswer() {
    if (last_ == Last::kOther) {
      OpenTurn("model");
      if (options_.thinking) return;
      prompt_.Special(kThought);
      prompt_.Text("thought\n");
      prompt_.Special(kThoughtEnd);
    } else if (last_ == Last::kResult && options_.thinking && july_) {
      prompt_.Special(kThought);
      prompt_.Text("thought\n");
    }
  }

  void OpenTurn(std::string_view role) {
    prompt_.Special(kTurn);
    prompt_.Text(role);
    prompt_.Text("\n");
  }

  void CloseTurn() {
    prompt_.Special(kTurnEnd);
    prompt_.Text("\n");
  }

  std::span<const Message> messages_;  // without the system message, once it is written
  const ChatOptions& options_;
  const bool july_;
  const Gemma4Edition edition_;
  int64_t last_user_ = -1;
  Last last_ = Last::kOther;
  PromptPieces prompt_;
};

class Gemma4Format final : public TemplateFormat {
 public:
  explicit Gemma4Format(Gemma4Edition edition) : edition_(edition) {}

  absl::StatusOr<std::vector<PromptPiece>> Render(const std::vector<Message>& messages,
                                                  const ChatOptions& options) const override {
    return Rendering(messages, options, edition_).Run();
  }

  std::vector<std::string_view> RequiredTokens() const override {
    return {"<bos>", kTurn, kTurnEnd, "<|think|>", kThought, kThoughtEnd};
  }
  bool renders_tools() const override { return true; }
  bool can_think() const override { return true; }

 private:
  const Gemma4Edition edition_;
};

}  // namespace

std::unique_ptr<TemplateFormat> MakeGemma4Format(Gemma4Edition edition) {
  return std::make_unique<Gemma4Format>(edition);
}

}  // namespace gemma
