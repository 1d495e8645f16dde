#include "cc/server/model_routes.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"
#include "cc/server/chat_request.h"
#include "cc/server/completion_request.h"
#include "cc/server/fields.h"
#include "cc/server/make_job_spec.h"
#include "cc/server/openai_answer.h"
#include "cc/server/text_request.h"
#include "cc/text/decoder.h"

namespace gemma::server {
namespace {

Json ModelJson(const Backend& backend) {
  const int64_t context = backend.engine.limits().max_seq_len;
  return {
      {"id", backend.model_name},
      {"object", "model"},
      {"created", backend.created},
      {"owned_by", "local"},
      {"context_length", context},
      {"max_model_len", context},
      {"type", "model"},
      {"display_name", backend.engine.manifest().model_name},
      {"created_at", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(backend.created),
                                      absl::UTCTimeZone())}};
}

// Every one of these routes names the model or leaves it away.
absl::Status CheckModel(const Backend& backend, Fields& fields) {
  GEMMA_ASSIGN_OR_RETURN(const std::optional<std::string> model, fields.Text("model"));
  return model.has_value() ? FindModel(backend, *model).status() : absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> EncodeText(const Backend& backend, Fields& fields) {
  GEMMA_ASSIGN_OR_RETURN(const std::string text, fields.NeedText("prompt"));
  GEMMA_ASSIGN_OR_RETURN(const bool special, fields.Boolean("add_special_tokens", true));
  if (special) {
    TextRequest request;
    request.prompt = text;
    return EncodePrompt(backend.engine, request);
  }
  if (backend.engine.tokenizer() == nullptr)
    return absl::FailedPreconditionError("the model has no tokenizer");
  return backend.engine.tokenizer()->Encode(text, {.parse_special = true});
}

absl::StatusOr<std::vector<int32_t>> EncodeMessages(const Backend& backend, Fields& fields) {
  TextRequest request;
  request.thinking_field = "chat_template_kwargs";
  GEMMA_ASSIGN_OR_RETURN(request.prompt, ParseChatMessages(*fields.Find("messages")));
  GEMMA_RETURN_IF_ERROR(ReadTemplateArguments(fields, request.format.thinking));
  return EncodePrompt(backend.engine, request);
}

}  // namespace

Json ModelList(const Backend& backend) {
  return {{"object", "list"},
          {"data", Json::array({ModelJson(backend)})},
          {"has_more", false},
          {"first_id", backend.model_name},
          {"last_id", backend.model_name}};
}

absl::StatusOr<Json> FindModel(const Backend& backend, const std::string& id) {
  if (id == backend.model_name) return ModelJson(backend);
  return WithCode(
      WithField(absl::NotFoundError(absl::StrCat("there is no model ", Shown(Json(id)), " here (",
                                                 backend.model_name, " is served)")),
                "model"),
      "model_not_found");
}

absl::StatusOr<Json> TokenizeText(const Backend& backend, const Json& body) {
  Fields fields(body, "");
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  GEMMA_RETURN_IF_ERROR(CheckModel(backend, fields));
  const bool chat = fields.Find("messages") != nullptr;
  GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                         chat ? EncodeMessages(backend, fields) : EncodeText(backend, fields));
  GEMMA_ASSIGN_OR_RETURN(const bool strings, fields.Boolean("return_token_strs", false));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  Json answer = {{"count", ids.size()},
                 {"max_model_len", backend.engine.limits().max_seq_len},
                 {"tokens", ids},
                 {"token_strs", nullptr}};
  if (!strings) return answer;
  answer["token_strs"] = Json::array();
  for (const int32_t id : ids)
    answer["token_strs"].push_back(TokenText(*backend.engine.tokenizer(), id));
  return answer;
}

absl::StatusOr<Json> DetokenizeIds(const Backend& backend, const Json& body) {
  Fields fields(body, "");
  GEMMA_RETURN_IF_ERROR(fields.CheckObject());
  GEMMA_RETURN_IF_ERROR(CheckModel(backend, fields));
  GEMMA_RETURN_IF_ERROR(fields.Need("tokens").status());
  GEMMA_ASSIGN_OR_RETURN(const Json* tokens, fields.Array("tokens"));
  GEMMA_RETURN_IF_ERROR(fields.Finish());
  if (backend.engine.tokenizer() == nullptr)
    return absl::FailedPreconditionError("the model has no tokenizer");
  const int64_t vocab = backend.engine.limits().vocab_size;
  std::vector<int32_t> ids;
  for (const Json& id : *tokens) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(vocab);
    if (!fits)
      return BadField("tokens", absl::StrCat("has ", Shown(id), ", not an id below ", vocab));
    ids.push_back(id.get<int32_t>());
  }
  GEMMA_ASSIGN_OR_RETURN(const std::string text,
                         Decode(*backend.engine.tokenizer(), ids, {.skip_control = false}));
  return Json{{"prompt", text}};
}

}  // namespace gemma::server
