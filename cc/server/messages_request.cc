#include "cc/server/messages_request.h"

#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"
#include "cc/server/common_fields.h"
#include "cc/server/fields.h"

namespace gemma::server {
namespace {

// A turn as it is read: blocks become one message of its role,
// tool results messages of their own before it.
struct Turn {
  Message message;
  std::vector<Message> results;
};

absl::Status ReadToolUse(Fields& block, Turn& turn) {
  ToolCall call;
  GEMMA_ASSIGN_OR_RETURN(call.id, block.NeedText("id"));
  GEMMA_ASSIGN_OR_RETURN(call.name, block.NeedText("name"));
  GEMMA_RETURN_IF_ERROR(block.Need("input").status());
  GEMMA_ASSIGN_OR_RETURN(const Json* input, block.Object("input"));
  call.arguments = Dump(*input);
  block.Accept("caller");
  turn.message.tool_calls.push_back(std::move(call));
  return absl::OkStatus();
}

absl::Status ReadToolResult(Fields& block, Turn& turn) {
  Message result = {Role::kTool, ""};
  GEMMA_ASSIGN_OR_RETURN(result.tool_call_id, block.NeedText("tool_use_id"));
  const Json* content = block.Find("content");
  if (content != nullptr) {
    GEMMA_ASSIGN_OR_RETURN(result.content,
                           ReadContent(*content, block.PathOf("content"), {"text"}));
  }
  GEMMA_ASSIGN_OR_RETURN(const bool failed, block.Boolean("is_error", false));
  if (failed) result.content = absl::StrCat("Error: ", result.content);
  turn.results.push_back(std::move(result));
  return absl::OkStatus();
}

absl::Status ReadThinkingBlock(Fields& block, Turn& turn) {
  GEMMA_ASSIGN_OR_RETURN(const std::string thinking, block.NeedText("thinking"));
  block.Accept("signature");
  turn.message.reasoning += thinking;
  return absl::OkStatus();
}

absl::Status ReadBlock(const Json& value, const std::string& path, Turn& turn) {
  Fields block(value, path);
  GEMMA_RETURN_IF_ERROR(block.CheckObject());
  const bool of_model = turn.message.role == Role::kModel;
  GEMMA_ASSIGN_OR_RETURN(const std::string type, block.NeedText("type"));
  block.Accept("cache_control");  // prefixes are always kept
  if (type == "text") {
    GEMMA_ASSIGN_OR_RETURN(const std::string text, block.NeedText("text"));
    turn.message.content += text;
    block.Accept("citations");
  } else if (type == "tool_use" && of_model) {
    GEMMA_RETURN_IF_ERROR(ReadToolUse(block, turn));
  } else if (type == "thinking" && of_model) {
    GEMMA_RETURN_IF_ERROR(ReadThinkingBlock(block, turn));
  } else if (type == "tool_result" && !of_model) {
    GEMMA_RETURN_IF_ERROR(ReadToolResult(block, turn));
  } else {
    return BadField(block.PathOf("type"),
                    absl::StrCat("is ", Shown(Json(type)),
                                 ", which a message of this role does "
                                 "not take here (text, thinking, tool_use, tool_result)"));
  }
  return block.Finish();
}

absl::Status ReadTurn(const Json& value, const std::string& path, std::vector<Message>& messages) {
  Fields fields(value, path);
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  GEMMA_ASSIGN_OR_RETURN(const std::string role,
                         fields.Choice("role", {"user", "assistant", "system"}, ""));
  if (role.empty()) return BadField(fields.PathOf("role"), "is missing");
  Turn turn;
  turn.message.role = *ParseRole(role);
  GEMMA_ASSIGN_OR_RETURN(const Json* content, fields.Need("content"));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  if (content->is_string()) turn.message.content = content->get<std::string>();
  if (!content->is_string() && !content->is_array())
    return BadField(fields.PathOf("content"), "is neither a string nor an array of blocks");
  for (size_t i = 0; content->is_array() && i < content->size(); ++i) {
    const std::string block = absl::StrCat(fields.PathOf("content"), "[", i, "]");
    GEMMA_RETURN_IF_ERROR(ReadBlock((*content)[i], block, turn));
  }
  const bool only_results = !turn.results.empty() && turn.message.content.empty();
  for (Message& result : turn.results) messages.push_back(std::move(result));
  if (!only_results) messages.push_back(std::move(turn.message));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Message>> ReadMessages(Fields& fields) {
  std::vector<Message> messages;
  if (const Json* system = fields.Find("system"); system != nullptr) {
    GEMMA_ASSIGN_OR_RETURN(std::string text, ReadContent(*system, "system", {"text"}));
    messages.push_back({Role::kSystem, std::move(text)});
  }
  GEMMA_ASSIGN_OR_RETURN(const Json* turns, fields.Need("messages"));
  if (!turns->is_array() || turns->empty())
    return BadField("messages", absl::StrCat("is ", Shown(*turns), ", not an array of messages"));
  for (size_t i = 0; i < turns->size(); ++i)
    GEMMA_RETURN_IF_ERROR(ReadTurn((*turns)[i], absl::StrCat("messages[", i, "]"), messages));
  return messages;
}

absl::StatusOr<ToolDefinition> ReadTool(Fields& tool) {
  GEMMA_RETURN_IF_ERROR(tool.RefuseUnless("type", "custom", "there are no tools of the server"));
  tool.Accept("cache_control");
  GEMMA_RETURN_IF_ERROR(tool.RefuseUnless("defer_loading", false, "there is no tool search"));
  return ReadFunction(tool, "input_schema");
}

absl::Status ReadToolChoice(Fields& fields, OutputFormat& format) {
  using Choice = OutputFormat::ToolChoice;
  GEMMA_ASSIGN_OR_RETURN(const Json* choice, fields.Object("tool_choice"));
  if (choice == nullptr) return absl::OkStatus();
  Fields inner(*choice, "tool_choice");
  GEMMA_ASSIGN_OR_RETURN(const std::string type,
                         inner.Choice("type", {"auto", "any", "tool", "none"}, ""));
  if (type.empty()) return BadField("tool_choice.type", "is missing");
  if (type == "any") format.tool_choice = Choice::kRequired;
  if (type == "none") format.tool_choice = Choice::kNone;
  if (type == "tool") {
    format.tool_choice = Choice::kNamed;
    GEMMA_ASSIGN_OR_RETURN(format.tool_name, inner.NeedText("name"));
  }
  GEMMA_ASSIGN_OR_RETURN(const bool one, inner.Boolean("disable_parallel_tool_use", false));
  format.parallel_tool_calls = !one;
  return inner.Finish();
}

absl::Status ReadThinking(Fields& fields, OutputFormat& format) {
  GEMMA_ASSIGN_OR_RETURN(const Json* thinking, fields.Object("thinking"));
  if (thinking == nullptr) return absl::OkStatus();
  Fields inner(*thinking, "thinking");
  GEMMA_ASSIGN_OR_RETURN(const std::string type,
                         inner.Choice("type", {"enabled", "disabled", "adaptive"}, ""));
  if (type.empty()) return BadField("thinking.type", "is missing");
  format.thinking = type != "disabled";
  // The model ends its thoughts by itself; max_tokens bounds both.
  GEMMA_RETURN_IF_ERROR(inner.Integer("budget_tokens", 1, int64_t{1} << 31).status());
  inner.Accept("display");
  return inner.Finish();
}

// "output_config": {"format": {"type": "json_schema", "schema"}, "effort"}; the older
// "output_format" is the inner part.
absl::Status ReadFormat(Fields& outer, absl::string_view name, OutputFormat& format) {
  GEMMA_ASSIGN_OR_RETURN(const Json* value, outer.Object(name));
  if (value == nullptr) return absl::OkStatus();
  Fields inner(*value, outer.PathOf(name));
  GEMMA_RETURN_IF_ERROR(inner.Choice("type", {"json_schema"}, "").status());
  GEMMA_RETURN_IF_ERROR(ReadJsonSchema(inner, format));
  return inner.Finish();
}

absl::Status ReadOutput(Fields& fields, OutputFormat& format) {
  GEMMA_RETURN_IF_ERROR(ReadFormat(fields, "output_format", format));
  GEMMA_ASSIGN_OR_RETURN(const Json* config, fields.Object("output_config"));
  if (config == nullptr) return absl::OkStatus();
  Fields inner(*config, "output_config");
  GEMMA_RETURN_IF_ERROR(ReadFormat(inner, "format", format));
  GEMMA_RETURN_IF_ERROR(inner.Refuse("effort", "send thinking"));
  return inner.Finish();
}

absl::Status ReadOtherFields(Fields& fields) {
  fields.Accept("metadata");
  fields.Accept("cache_control");  // prefixes are always kept
  GEMMA_RETURN_IF_ERROR(fields.Choice("service_tier", {"auto", "standard_only"}, "").status());
  GEMMA_RETURN_IF_ERROR(
      fields.RefuseUnless("mcp_servers", Json::array(), "there are no tools of the server"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("container", "there are no containers"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("context_management", "nothing is left out"));
  GEMMA_RETURN_IF_ERROR(fields.Refuse("diagnostics", "there are none"));
  GEMMA_RETURN_IF_ERROR(fields.RefuseUnless("speed", "standard", "there is one speed"));
  fields.Accept("user_profile_id");
  fields.Accept("workspace_id");
  return fields.RefuseUnless("inference_geo", "global", "there is one place");
}

absl::StatusOr<TextRequest> Parse(const Json& body, const SamplingParams& sampling, bool count) {
  Fields fields(body, "");
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  TextRequest request;
  request.sampling = sampling;
  request.format_field = "output_config";
  request.thinking_field = "thinking";
  request.sampling.seed = std::random_device()();
  GEMMA_ASSIGN_OR_RETURN(request.model, fields.NeedText("model"));
  if (!count) GEMMA_RETURN_IF_ERROR(fields.Need("max_tokens").status());
  GEMMA_RETURN_IF_ERROR(ReadMaxTokens(fields, "max_tokens", request));
  GEMMA_ASSIGN_OR_RETURN(request.prompt, ReadMessages(fields));
  GEMMA_RETURN_IF_ERROR(ReadSampling(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadStop(fields, "stop_sequences", request));
  GEMMA_ASSIGN_OR_RETURN(request.stream, fields.Boolean("stream", false));
  GEMMA_RETURN_IF_ERROR(ReadTools(fields, ReadTool, request.format));
  GEMMA_RETURN_IF_ERROR(ReadToolChoice(fields, request.format));
  GEMMA_RETURN_IF_ERROR(ReadThinking(fields, request.format));
  GEMMA_RETURN_IF_ERROR(ReadOutput(fields, request.format));
  GEMMA_RETURN_IF_ERROR(ReadOtherFields(fields));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  return request;
}

}  // namespace

absl::StatusOr<TextRequest> ParseMessagesRequest(const Json& body, const SamplingParams& sampling) {
  return Parse(body, sampling, /*count=*/false);
}

absl::StatusOr<TextRequest> ParseCountRequest(const Json& body) {
  return Parse(body, {}, /*count=*/true);
}

}  // namespace gemma::server
