#include "cc/server/chat_request.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"
#include "cc/server/common_fields.h"
#include "cc/server/fields.h"

namespace gemma::server {
namespace {

absl::StatusOr<ToolCall> ParseToolCall(const Json& value, const std::string& path) {
  Fields fields(value, path);
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  ToolCall call;
  GEMMA_ASSIGN_OR_RETURN(call.id, fields.NeedText("id"));
  GEMMA_RETURN_IF_ERROR(fields.Choice("type", {"function"}, "function").status());
  fields.Accept("index");
  GEMMA_RETURN_IF_ERROR(fields.Need("function").status());
  GEMMA_ASSIGN_OR_RETURN(const Json* function, fields.Object("function"));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  Fields inner(*function, fields.PathOf("function"));
  GEMMA_ASSIGN_OR_RETURN(call.name, inner.NeedText("name"));
  GEMMA_ASSIGN_OR_RETURN(call.arguments, inner.NeedText("arguments"));
  GEMMA_RETURN_IF_ERROR(CheckArguments(call.arguments, inner.PathOf("arguments")));
  GEMMA_RETURN_IF_ERROR(inner.Finish());
  return call;
}

// "reasoning_content" (also called "reasoning") and "tool_calls".
absl::Status ParseModelFields(Fields& fields, Message& message) {
  GEMMA_ASSIGN_OR_RETURN(const auto reasoning, fields.Text("reasoning_content"));
  GEMMA_ASSIGN_OR_RETURN(const auto other, fields.Text("reasoning"));
  message.reasoning = reasoning.has_value() ? *reasoning : other.value_or("");
  for (const char* empty : {"refusal", "audio", "annotations"})
    GEMMA_RETURN_IF_ERROR(fields.RefuseUnless(empty, Json::array(), "this model writes text"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("function_call", "send tool_calls"));
  GEMMA_ASSIGN_OR_RETURN(const Json* calls, fields.Array("tool_calls"));
  for (size_t i = 0; calls != nullptr && i < calls->size(); ++i) {
    GEMMA_ASSIGN_OR_RETURN(
        ToolCall call,
        ParseToolCall((*calls)[i], absl::StrCat(fields.PathOf("tool_calls"), "[", i, "]")));
    message.tool_calls.push_back(std::move(call));
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> ParseMessage(const Json& value, const std::string& path) {
  Fields fields(value, path);
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  Message message;
  GEMMA_ASSIGN_OR_RETURN(const std::string role, fields.NeedText("role"));
  const absl::StatusOr<Role> parsed = ParseRole(role);
  if (!parsed.ok()) return BadField(fields.PathOf("role"), parsed.status().message());
  message.role = *parsed;
  const Json* content = fields.Find("content");
  if (content != nullptr) {
    GEMMA_ASSIGN_OR_RETURN(message.content,
                           ReadContent(*content, fields.PathOf("content"), {"text"}));
  }
  if (message.role == Role::kModel) GEMMA_RETURN_IF_ERROR(ParseModelFields(fields, message));
  if (message.role == Role::kTool) {
    GEMMA_ASSIGN_OR_RETURN(message.tool_call_id, fields.NeedText("tool_call_id"));
    GEMMA_ASSIGN_OR_RETURN(const auto name, fields.Text("name"));
    message.tool_name = name.value_or("");
  } else {
    GEMMA_RETURN_IF_ERROR(fields.Refuse("name", "the model's template has no names"));
  }
  if (content == nullptr && message.tool_calls.empty())
    return BadField(fields.PathOf("content"), "is missing");
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  return message;
}

absl::StatusOr<ToolDefinition> ParseTool(Fields& tool) {
  GEMMA_RETURN_IF_ERROR(tool.Choice("type", {"function"}, "function").status());
  GEMMA_RETURN_IF_ERROR(tool.Need("function").status());
  GEMMA_ASSIGN_OR_RETURN(const Json* function, tool.Object("function"));
  Fields inner(*function, tool.PathOf("function"));
  GEMMA_ASSIGN_OR_RETURN(ToolDefinition definition, ReadFunction(inner, "parameters"));
  GEMMA_RETURN_IF_ERROR(inner.Finish());
  return definition;
}

absl::Status ParseToolChoice(Fields& fields, OutputFormat& format) {
  using Choice = OutputFormat::ToolChoice;
  const Json* choice = fields.Find("tool_choice");
  if (choice == nullptr) return absl::OkStatus();
  if (!choice->is_object()) {
    GEMMA_ASSIGN_OR_RETURN(const std::string name,
                           fields.Choice("tool_choice", {"auto", "none", "required"}, "auto"));
    format.tool_choice = name == "none"       ? Choice::kNone
                         : name == "required" ? Choice::kRequired
                                              : Choice::kAuto;
    return absl::OkStatus();
  }
  Fields inner(*choice, fields.PathOf("tool_choice"));
  GEMMA_RETURN_IF_ERROR(inner.Choice("type", {"function"}, "function").status());
  GEMMA_RETURN_IF_ERROR(inner.Need("function").status());
  GEMMA_ASSIGN_OR_RETURN(const Json* function, inner.Object("function"));
  GEMMA_RETURN_IF_ERROR(inner.Finish());
  Fields named(*function, inner.PathOf("function"));
  GEMMA_ASSIGN_OR_RETURN(format.tool_name, named.NeedText("name"));
  format.tool_choice = Choice::kNamed;
  return named.Finish();
}

absl::Status ParseResponseFormat(Fields& fields, OutputFormat& format) {
  GEMMA_ASSIGN_OR_RETURN(const Json* value, fields.Object("response_format"));
  if (value == nullptr) return absl::OkStatus();
  Fields inner(*value, "response_format");
  GEMMA_ASSIGN_OR_RETURN(const std::string type,
                         inner.Choice("type", {"text", "json_object", "json_schema"}, ""));
  if (type.empty()) return BadField("response_format.type", "is missing");
  if (type == "json_object") format.kind = OutputFormat::Kind::kJsonObject;
  if (type == "json_schema") {
    GEMMA_RETURN_IF_ERROR(inner.Need("json_schema").status());
    GEMMA_ASSIGN_OR_RETURN(const Json* schema, inner.Object("json_schema"));
    Fields named(*schema, "response_format.json_schema");
    GEMMA_RETURN_IF_ERROR(ReadJsonSchema(named, format));
    GEMMA_RETURN_IF_ERROR(named.Finish());
  }
  return inner.Finish();
}

absl::Status ParseLogprobs(Fields& fields, LogitsChanges& changes) {
  GEMMA_ASSIGN_OR_RETURN(const bool wanted, fields.Boolean("logprobs", false));
  GEMMA_ASSIGN_OR_RETURN(const auto top, fields.Integer("top_logprobs", 0, kMaxTopLogprobs));
  if (top.value_or(0) > 0 && !wanted)
    return BadField("top_logprobs", "is only allowed with logprobs: true");
  if (wanted) changes.top_logprobs = static_cast<int>(top.value_or(0));
  return absl::OkStatus();
}

// What does not change an answer, and what is known but not here.
absl::Status ParseOtherFields(Fields& fields) {
  GEMMA_RETURN_IF_ERROR(ReadOpenAiMetadata(fields));
  GEMMA_RETURN_IF_ERROR(
      fields.RefuseUnless("modalities", Json::array({"text"}), "this model writes text"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("audio", "this model writes text"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("functions", "send tools"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("function_call", "send tool_choice"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("prediction", "the model drafts by itself"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("web_search_options", "there is no search"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("verbosity", "say so in the prompt"));
  GEMMA_RETURN_IF_ERROR(fields.RefuseUnless("best_of", 1, "ask for n"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Message>> ParseChatMessages(const Json& value) {
  if (!value.is_array() || value.empty())
    return BadField("messages", absl::StrCat("is ", Shown(value), ", not an array of messages"));
  std::vector<Message> messages;
  for (size_t i = 0; i < value.size(); ++i) {
    GEMMA_ASSIGN_OR_RETURN(Message message,
                           ParseMessage(value[i], absl::StrCat("messages[", i, "]")));
    messages.push_back(std::move(message));
  }
  return messages;
}

absl::Status ReadTemplateArguments(Fields& fields, bool& thinking) {
  GEMMA_ASSIGN_OR_RETURN(const Json* arguments, fields.Object("chat_template_kwargs"));
  if (arguments == nullptr) return absl::OkStatus();
  Fields inner(*arguments, fields.PathOf("chat_template_kwargs"));
  GEMMA_ASSIGN_OR_RETURN(thinking, inner.Boolean("enable_thinking", thinking));
  return inner.Finish();
}

absl::StatusOr<TextRequest> ParseChatRequest(const Json& body, const SamplingParams& sampling) {
  Fields fields(body, "");
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  TextRequest request;
  request.sampling = sampling;
  GEMMA_ASSIGN_OR_RETURN(request.model, fields.NeedText("model"));
  GEMMA_ASSIGN_OR_RETURN(const Json* messages, fields.Need("messages"));
  GEMMA_ASSIGN_OR_RETURN(request.prompt, ParseChatMessages(*messages));
  GEMMA_RETURN_IF_ERROR(ReadSampling(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadSeed(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadPenalties(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadStop(fields, "stop", request));
  GEMMA_RETURN_IF_ERROR(ReadMaxTokens(fields, "max_tokens", request));
  GEMMA_RETURN_IF_ERROR(ReadMaxTokens(fields, "max_completion_tokens", request));
  GEMMA_ASSIGN_OR_RETURN(const auto choices, fields.Integer("n", 1, kMaxChoices));
  request.choices = choices.value_or(1);
  GEMMA_RETURN_IF_ERROR(ReadStream(fields, request));
  GEMMA_RETURN_IF_ERROR(ParseLogprobs(fields, request.changes));
  GEMMA_RETURN_IF_ERROR(ReadTools(fields, ParseTool, request.format));
  GEMMA_RETURN_IF_ERROR(ParseToolChoice(fields, request.format));
  GEMMA_ASSIGN_OR_RETURN(request.format.parallel_tool_calls,
                         fields.Boolean("parallel_tool_calls", true));
  GEMMA_RETURN_IF_ERROR(ParseResponseFormat(fields, request.format));
  GEMMA_RETURN_IF_ERROR(ReadEffort(fields, "reasoning_effort", request.format.thinking));
  GEMMA_RETURN_IF_ERROR(ReadTemplateArguments(fields, request.format.thinking));
  GEMMA_RETURN_IF_ERROR(ParseOtherFields(fields));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  return request;
}

}  // namespace gemma::server
