#include "cc/server/common_fields.h"

#include <algorithm>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"

namespace gemma::server {
namespace {

// Two strings that a JSON key can be, and the bias under it.
absl::Status ReadBias(const std::string& key, const Json& value, LogitsChanges& changes) {
  const std::string path = absl::StrCat("logit_bias.", gemma::Shown(key, 20));
  int32_t id = -1;
  if (!absl::SimpleAtoi(key, &id) || id < 0) return BadField(path, "is not a token id");
  if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100))
    return BadField(path, absl::StrCat("is ", Shown(value), ", not a number from -100 to 100"));
  changes.logit_bias.emplace_back(id, value.get<float>());
  return absl::OkStatus();
}

absl::Status AddStop(const Json& value, const std::string& path, TextRequest& request) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    return BadField(path, absl::StrCat("is ", Shown(value), ", not a string that is not empty"));
  request.stop.push_back(value.get<std::string>());
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadSampling(Fields& fields, TextRequest& request) {
  for (const SamplingField& field : kSamplingFields) {
    const Json* value = fields.Find(field.name);
    if (value == nullptr) continue;
    if (!value->is_number() || !field.Allows(value->get<double>())) {
      return BadField(fields.PathOf(field.name),
                      absl::StrCat("is ", Shown(*value), " (", field.allowed, " are allowed)"));
    }
    field.Set(request.sampling, value->get<double>());
  }
  return absl::OkStatus();
}

absl::Status ReadSeed(Fields& fields, TextRequest& request) {
  GEMMA_ASSIGN_OR_RETURN(const std::optional<int64_t> seed,
                         fields.Integer("seed", INT64_MIN, INT64_MAX));
  request.sampling.seed = seed.has_value() ? static_cast<uint64_t>(*seed) : std::random_device()();
  return absl::OkStatus();
}

absl::Status ReadPenalties(Fields& fields, TextRequest& request) {
  LogitsChanges& changes = request.changes;
  GEMMA_ASSIGN_OR_RETURN(const auto frequency, fields.Number("frequency_penalty", -2, 2));
  GEMMA_ASSIGN_OR_RETURN(const auto presence, fields.Number("presence_penalty", -2, 2));
  GEMMA_ASSIGN_OR_RETURN(const auto repetition, fields.Number("repetition_penalty", 0.01, 100));
  changes.frequency_penalty = static_cast<float>(frequency.value_or(0));
  changes.presence_penalty = static_cast<float>(presence.value_or(0));
  changes.repetition_penalty = static_cast<float>(repetition.value_or(1));
  GEMMA_ASSIGN_OR_RETURN(const Json* bias, fields.Object("logit_bias"));
  if (bias == nullptr) return absl::OkStatus();
  for (const auto& [key, value] : bias->items())
    GEMMA_RETURN_IF_ERROR(ReadBias(key, value, changes));
  return absl::OkStatus();
}

absl::Status ReadStop(Fields& fields, absl::string_view name, TextRequest& request) {
  const Json* stop = fields.Find(name);
  if (stop == nullptr) return absl::OkStatus();
  if (!stop->is_array()) return AddStop(*stop, fields.PathOf(name), request);
  if (stop->size() > kMaxStops) {
    return BadField(fields.PathOf(name), absl::StrCat("has ", stop->size(), " strings (at most ",
                                                      kMaxStops, " are allowed)"));
  }
  for (size_t i = 0; i < stop->size(); ++i) {
    GEMMA_RETURN_IF_ERROR(
        AddStop((*stop)[i], absl::StrCat(fields.PathOf(name), "[", i, "]"), request));
  }
  return absl::OkStatus();
}

absl::Status ReadMaxTokens(Fields& fields, absl::string_view name, TextRequest& request) {
  GEMMA_ASSIGN_OR_RETURN(const std::optional<int64_t> tokens,
                         fields.Integer(name, 1, int64_t{1} << 31));
  if (tokens.has_value()) request.max_new_tokens = *tokens;
  return absl::OkStatus();
}

absl::Status ReadStream(Fields& fields, TextRequest& request) {
  GEMMA_ASSIGN_OR_RETURN(request.stream, fields.Boolean("stream", false));
  GEMMA_ASSIGN_OR_RETURN(const Json* options, fields.Object("stream_options"));
  if (options == nullptr) return absl::OkStatus();
  if (!request.stream)
    return BadField(fields.PathOf("stream_options"), "is only allowed with stream: true");
  Fields inner(*options, fields.PathOf("stream_options"));
  GEMMA_ASSIGN_OR_RETURN(request.stream_usage, inner.Boolean("include_usage", false));
  GEMMA_RETURN_IF_ERROR(
      inner.RefuseUnless("include_obfuscation", false, "nothing here pads chunks"));
  return inner.Finish();
}

absl::Status ReadEffort(Fields& fields, absl::string_view name, bool& thinking) {
  GEMMA_ASSIGN_OR_RETURN(
      const std::string effort,
      fields.Choice(name, {"none", "minimal", "low", "medium", "high", "xhigh"}, ""));
  if (!effort.empty()) thinking = effort != "none" && effort != "minimal";
  return absl::OkStatus();
}

absl::StatusOr<ToolDefinition> ReadFunction(Fields& fields, absl::string_view parameters) {
  ToolDefinition tool;
  GEMMA_ASSIGN_OR_RETURN(tool.name, fields.NeedText("name"));
  const bool plain = std::ranges::all_of(tool.name, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
  if (tool.name.empty() || tool.name.size() > 128 || !plain) {
    return BadField(fields.PathOf("name"), "is not 1 to 128 letters, digits, '_', '-' or '.'");
  }
  GEMMA_ASSIGN_OR_RETURN(const auto description, fields.Text("description"));
  tool.description = description.value_or("");
  GEMMA_ASSIGN_OR_RETURN(const Json* schema, fields.Object(parameters));
  if (schema != nullptr) tool.parameters = Dump(*schema);
  GEMMA_ASSIGN_OR_RETURN(tool.strict, fields.Boolean("strict", false));
  return tool;
}

absl::Status ReadTools(Fields& fields, absl::StatusOr<ToolDefinition> (*read)(Fields& tool),
                       OutputFormat& format) {
  GEMMA_ASSIGN_OR_RETURN(const Json* tools, fields.Array("tools"));
  if (tools == nullptr) return absl::OkStatus();
  if (tools->size() > kMaxTools) {
    return BadField("tools", absl::StrCat("has ", tools->size(), " tools (at most ", kMaxTools,
                                          " are allowed)"));
  }
  for (size_t i = 0; i < tools->size(); ++i) {
    Fields tool((*tools)[i], absl::StrCat("tools[", i, "]"));
    GEMMA_RETURN_IF_ERROR(tool.CheckObject());
    GEMMA_ASSIGN_OR_RETURN(ToolDefinition definition, read(tool));
    GEMMA_RETURN_IF_ERROR(tool.Finish());
    format.tools.push_back(std::move(definition));
  }
  return absl::OkStatus();
}

absl::Status ReadOpenAiMetadata(Fields& fields) {
  for (const char* name : {"user", "metadata", "safety_identifier", "prompt_cache_key",
                           "prompt_cache_options", "prompt_cache_retention"})
    fields.Accept(name);
  GEMMA_RETURN_IF_ERROR(fields.Refuse("moderation", "nothing is moderated here"));
  GEMMA_RETURN_IF_ERROR(fields.RefuseUnless("store", false, "nothing is stored here"));
  return fields.Choice("service_tier", {"auto", "default"}, "auto").status();
}

absl::Status ReadJsonSchema(Fields& fields, OutputFormat& format) {
  fields.Accept("name");
  fields.Accept("description");
  // A schema is always enforced, strict or not.
  GEMMA_RETURN_IF_ERROR(fields.Boolean("strict", false).status());
  GEMMA_ASSIGN_OR_RETURN(const Json* schema, fields.Need("schema"));
  if (!schema->is_object() && !schema->is_boolean())
    return BadField(fields.PathOf("schema"),
                    absl::StrCat("is ", Shown(*schema), ", not an object"));
  format.kind = OutputFormat::Kind::kJsonSchema;
  format.schema = Dump(*schema);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadContent(const Json& content, const std::string& path,
                                        std::initializer_list<absl::string_view> types) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array())
    return BadField(path, absl::StrCat("is ", Shown(content), ", not a string or an array"));
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    Fields part(content[i], absl::StrCat(path, "[", i, "]"));
    GEMMA_RETURN_IF_ERROR(part.CheckObject());
    GEMMA_ASSIGN_OR_RETURN(const std::string type, part.NeedText("type"));
    if (std::ranges::find(types, type) == types.end()) {
      return BadField(part.PathOf("type"),
                      absl::StrCat("is ", Shown(Json(type)), ", but this model takes text alone (",
                                   absl::StrJoin(types, ", "), ")"));
    }
    GEMMA_ASSIGN_OR_RETURN(const std::string piece, part.NeedText("text"));
    text += piece;
    part.Accept("cache_control");  // prefixes are always kept
    part.Accept("annotations");
    part.Accept("citations");
    part.Accept("logprobs");
    GEMMA_RETURN_IF_ERROR(part.Finish());
  }
  return text;
}

absl::Status CheckArguments(const std::string& arguments, const std::string& path) {
  const absl::StatusOr<Json> parsed = ParseBody(arguments);
  if (parsed.ok() && parsed->is_object()) return absl::OkStatus();
  return BadField(path, "is not the JSON text of an object");
}

}  // namespace gemma::server
