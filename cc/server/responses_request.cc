#include "cc/server/responses_request.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"
#include "cc/server/common_fields.h"
#include "cc/server/fields.h"

namespace gemma::server {
namespace {

// Items of a turn of the model's are one message: its thoughts, its text, its calls.
Message& ModelMessage(std::vector<Message>& messages) {
  if (messages.empty() || messages.back().role != Role::kModel)
    messages.push_back({Role::kModel, ""});
  return messages.back();
}

absl::Status ReadMessage(Fields& item, std::vector<Message>& messages) {
  GEMMA_ASSIGN_OR_RETURN(const std::string name, item.NeedText("role"));
  const absl::StatusOr<Role> role = ParseRole(name);
  if (!role.ok() || *role == Role::kTool) {
    return BadField(item.PathOf("role"), absl::StrCat("is ", Shown(Json(name)),
                                                      ", not user, assistant, system, developer"));
  }
  GEMMA_ASSIGN_OR_RETURN(const Json* content, item.Need("content"));
  GEMMA_ASSIGN_OR_RETURN(std::string text, ReadContent(*content, item.PathOf("content"),
                                                       {"input_text", "output_text", "text"}));
  if (*role != Role::kModel) {
    messages.push_back({*role, std::move(text)});
  } else {
    Message& message = ModelMessage(messages);
    if (!message.tool_calls.empty()) {
      messages.push_back({Role::kModel, std::move(text)});
    } else {
      message.content += text;
    }
  }
  item.Accept("phase");
  return absl::OkStatus();
}

absl::Status ReadFunctionCall(Fields& item, std::vector<Message>& messages) {
  ToolCall call;
  GEMMA_ASSIGN_OR_RETURN(call.id, item.NeedText("call_id"));
  GEMMA_ASSIGN_OR_RETURN(call.name, item.NeedText("name"));
  GEMMA_ASSIGN_OR_RETURN(call.arguments, item.NeedText("arguments"));
  GEMMA_RETURN_IF_ERROR(CheckArguments(call.arguments, item.PathOf("arguments")));
  ModelMessage(messages).tool_calls.push_back(std::move(call));
  return absl::OkStatus();
}

absl::Status ReadFunctionOutput(Fields& item, std::vector<Message>& messages) {
  Message message = {Role::kTool, ""};
  GEMMA_ASSIGN_OR_RETURN(message.tool_call_id, item.NeedText("call_id"));
  GEMMA_ASSIGN_OR_RETURN(const Json* output, item.Need("output"));
  GEMMA_ASSIGN_OR_RETURN(message.content, ReadContent(*output, item.PathOf("output"),
                                                      {"input_text", "output_text", "text"}));
  messages.push_back(std::move(message));
  return absl::OkStatus();
}

absl::Status ReadReasoning(Fields& item, std::vector<Message>& messages) {
  item.Accept("summary");
  GEMMA_RETURN_IF_ERROR(item.Refuse("encrypted_content", "nothing here encrypts; send content"));
  const Json* content = item.Find("content");
  if (content == nullptr) return absl::OkStatus();
  GEMMA_ASSIGN_OR_RETURN(const std::string text,
                         ReadContent(*content, item.PathOf("content"), {"reasoning_text"}));
  ModelMessage(messages).reasoning += text;
  return absl::OkStatus();
}

absl::Status ReadItem(const Json& value, const std::string& path, std::vector<Message>& messages) {
  Fields item(value, path);
  GEMMA_RETURN_IF_ERROR(item.CheckObject());
  GEMMA_ASSIGN_OR_RETURN(
      const std::string type,
      item.Choice("type", {"message", "function_call", "function_call_output", "reasoning"},
                  "message"));
  item.Accept("id");
  item.Accept("status");
  if (type == "message") GEMMA_RETURN_IF_ERROR(ReadMessage(item, messages));
  if (type == "function_call") GEMMA_RETURN_IF_ERROR(ReadFunctionCall(item, messages));
  if (type == "function_call_output") GEMMA_RETURN_IF_ERROR(ReadFunctionOutput(item, messages));
  if (type == "reasoning") GEMMA_RETURN_IF_ERROR(ReadReasoning(item, messages));
  return item.Finish();
}

absl::StatusOr<std::vector<Message>> ReadInput(Fields& fields) {
  std::vector<Message> messages;
  GEMMA_ASSIGN_OR_RETURN(const std::optional<std::string> instructions,
                         fields.Text("instructions"));
  if (instructions.has_value()) messages.push_back({Role::kSystem, *instructions});
  GEMMA_ASSIGN_OR_RETURN(const Json* input, fields.Need("input"));
  if (input->is_string()) {
    messages.push_back({Role::kUser, input->get<std::string>()});
    return messages;
  }
  if (!input->is_array() || input->empty())
    return BadField("input", absl::StrCat("is ", Shown(*input), ", not a string or items"));
  for (size_t i = 0; i < input->size(); ++i)
    GEMMA_RETURN_IF_ERROR(ReadItem((*input)[i], absl::StrCat("input[", i, "]"), messages));
  return messages;
}

absl::StatusOr<ToolDefinition> ReadTool(Fields& tool) {
  GEMMA_RETURN_IF_ERROR(tool.Choice("type", {"function"}, "").status());
  return ReadFunction(tool, "parameters");
}

absl::Status ReadToolChoice(Fields& fields, OutputFormat& format) {
  using Choice = OutputFormat::ToolChoice;
  const Json* choice = fields.Find("tool_choice");
  if (choice == nullptr) return absl::OkStatus();
  if (choice->is_object()) {
    Fields named(*choice, "tool_choice");
    GEMMA_RETURN_IF_ERROR(named.Choice("type", {"function"}, "").status());
    GEMMA_ASSIGN_OR_RETURN(format.tool_name, named.NeedText("name"));
    format.tool_choice = Choice::kNamed;
    return named.Finish();
  }
  GEMMA_ASSIGN_OR_RETURN(const std::string name,
                         fields.Choice("tool_choice", {"auto", "none", "required"}, "auto"));
  if (name == "none") format.tool_choice = Choice::kNone;
  if (name == "required") format.tool_choice = Choice::kRequired;
  return absl::OkStatus();
}

// "text": {"format": {"type", ...}}
absl::Status ReadTextFormat(Fields& fields, OutputFormat& format) {
  GEMMA_ASSIGN_OR_RETURN(const Json* text, fields.Object("text"));
  if (text == nullptr) return absl::OkStatus();
  Fields inner(*text, "text");
  GEMMA_RETURN_IF_ERROR(inner.RefuseUnless("verbosity", "medium", "say so in the prompt"));
  GEMMA_ASSIGN_OR_RETURN(const Json* value, inner.Object("format"));
  GEMMA_RETURN_IF_ERROR(inner.Finish());
  if (value == nullptr) return absl::OkStatus();
  Fields named(*value, "text.format");
  GEMMA_ASSIGN_OR_RETURN(const std::string type,
                         named.Choice("type", {"text", "json_object", "json_schema"}, ""));
  if (type.empty()) return BadField("text.format.type", "is missing");
  if (type == "json_object") format.kind = OutputFormat::Kind::kJsonObject;
  if (type == "json_schema") GEMMA_RETURN_IF_ERROR(ReadJsonSchema(named, format));
  return named.Finish();
}

absl::Status ReadReasoningOptions(Fields& fields, bool& thinking) {
  GEMMA_ASSIGN_OR_RETURN(const Json* reasoning, fields.Object("reasoning"));
  if (reasoning == nullptr) return absl::OkStatus();
  Fields inner(*reasoning, "reasoning");
  GEMMA_RETURN_IF_ERROR(ReadEffort(inner, "effort", thinking));
  GEMMA_RETURN_IF_ERROR(inner.Refuse("summary", "thoughts are given whole"));
  GEMMA_RETURN_IF_ERROR(inner.Refuse("generate_summary", "thoughts are given whole"));
  return inner.Finish();
}

absl::Status ReadInclude(Fields& fields, LogitsChanges& changes) {
  GEMMA_ASSIGN_OR_RETURN(const auto top, fields.Integer("top_logprobs", 0, kMaxTopLogprobs));
  GEMMA_ASSIGN_OR_RETURN(const Json* include, fields.Array("include"));
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    if ((*include)[i] != "message.output_text.logprobs") {
      return BadField(absl::StrCat("include[", i, "]"),
                      "is not supported (message.output_text.logprobs is)");
    }
    changes.top_logprobs = static_cast<int>(top.value_or(0));
  }
  if (top.value_or(0) > 0) changes.top_logprobs = static_cast<int>(*top);
  return absl::OkStatus();
}

absl::Status ReadOtherFields(Fields& fields) {
  GEMMA_RETURN_IF_ERROR(fields.RefuseUnless("background", false, "nothing is stored here"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("background_options", "nothing is stored here"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("context_management", "nothing is left out"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("image", "this model writes text"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("access_programs", "there are none"));
  GEMMA_RETURN_IF_ERROR(
      fields.Refuse("previous_response_id", "nothing is stored here; send the items again"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("conversation", "nothing is stored here"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("prompt", "there are no stored prompts"));
  GEMMA_RETURN_IF_ERROR(fields.RefuseUnless("truncation", "disabled", "nothing is left out"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("max_tool_calls", "there are no tools of the server's own"));
  return ReadOpenAiMetadata(fields);
}

}  // namespace

absl::StatusOr<TextRequest> ParseResponsesRequest(const Json& body,
                                                  const SamplingParams& sampling) {
  Fields fields(body, "");
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  TextRequest request;
  request.sampling = sampling;
  request.format_field = "text.format";
  request.thinking_field = "reasoning.effort";
  GEMMA_ASSIGN_OR_RETURN(request.model, fields.NeedText("model"));
  GEMMA_ASSIGN_OR_RETURN(request.prompt, ReadInput(fields));
  GEMMA_RETURN_IF_ERROR(ReadSampling(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadSeed(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadMaxTokens(fields, "max_output_tokens", request));
  GEMMA_RETURN_IF_ERROR(ReadStream(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadTools(fields, ReadTool, request.format));
  GEMMA_ASSIGN_OR_RETURN(request.format.parallel_tool_calls,
                         fields.Boolean("parallel_tool_calls", true));
  GEMMA_RETURN_IF_ERROR(ReadToolChoice(fields, request.format));
  GEMMA_RETURN_IF_ERROR(ReadTextFormat(fields, request.format));
  GEMMA_RETURN_IF_ERROR(ReadReasoningOptions(fields, request.format.thinking));
  GEMMA_RETURN_IF_ERROR(ReadInclude(fields, request.changes));
  GEMMA_RETURN_IF_ERROR(ReadOtherFields(fields));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  return request;
}

}  // namespace gemma::server
