#include "cc/server/completion_request.h"

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"
#include "cc/server/common_fields.h"
#include "cc/server/fields.h"

namespace gemma::server {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // as OpenAI's

absl::StatusOr<Prompt> ParseIds(const Json& value) {
  std::vector<int32_t> ids;
  for (const Json& id : value) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX;
    if (!fits) return BadField("prompt", absl::StrCat("has ", Shown(id), ", not a token id"));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

absl::Status ParseOtherFields(Fields& fields) {
  fields.Accept("user");
  GEMMA_RETURN_IF_ERROR(fields.RefuseUnless("suffix", "", "the model writes forwards"));
  return fields.RefuseUnless("best_of", 1, "ask for n");
}

}  // namespace

absl::StatusOr<Prompt> ParsePrompt(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array() || value.empty())
    return BadField("prompt", absl::StrCat("is ", Shown(value), ", not a string or token ids"));
  if (value[0].is_number()) return ParseIds(value);
  if (value.size() > 1) {
    return BadField("prompt",
                    absl::StrCat("has ", value.size(), " texts, but one a request is supported"));
  }
  if (value[0].is_array() && (value[0].empty() || !value[0][0].is_number()))
    return BadField("prompt", "is nested");
  return ParsePrompt(value[0]);
}

absl::StatusOr<TextRequest> ParseCompletionRequest(const Json& body,
                                                   const SamplingParams& sampling) {
  Fields fields(body, "");
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  TextRequest request;
  request.sampling = sampling;
  request.max_new_tokens = kDefaultMaxTokens;
  GEMMA_ASSIGN_OR_RETURN(request.model, fields.NeedText("model"));
  GEMMA_ASSIGN_OR_RETURN(const Json* prompt, fields.Need("prompt"));
  GEMMA_ASSIGN_OR_RETURN(request.prompt, ParsePrompt(*prompt));
  GEMMA_RETURN_IF_ERROR(ReadSampling(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadSeed(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadPenalties(fields, request));
  GEMMA_RETURN_IF_ERROR(ReadStop(fields, "stop", request));
  GEMMA_RETURN_IF_ERROR(ReadMaxTokens(fields, "max_tokens", request));
  GEMMA_ASSIGN_OR_RETURN(const auto choices, fields.Integer("n", 1, kMaxChoices));
  request.choices = choices.value_or(1);
  GEMMA_RETURN_IF_ERROR(ReadStream(fields, request));
  GEMMA_ASSIGN_OR_RETURN(const auto top, fields.Integer("logprobs", 0, kMaxTopLogprobs));
  if (top.has_value()) request.changes.top_logprobs = static_cast<int>(*top);
  GEMMA_ASSIGN_OR_RETURN(request.echo, fields.Boolean("echo", false));
  if (request.echo && top.has_value())
    return BadField("echo", "is not supported with logprobs (the prompt's are not computed)");
  GEMMA_RETURN_IF_ERROR(ParseOtherFields(fields));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  return request;
}

}  // namespace gemma::server
