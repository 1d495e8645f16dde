// The small routes: models, tokens. Each takes a body and gives a document.
#ifndef CC_SERVER_MODEL_ROUTES_H_
#define CC_SERVER_MODEL_ROUTES_H_

#include <string>

#include "absl/status/statusor.h"
#include "cc/server/backend.h"
#include "cc/server/json_body.h"

namespace gemma::server {

// GET /v1/models: the one model, in the fields of OpenAI's list and of Anthropic's.
Json ModelList(const Backend& backend);

// GET /v1/models/ID; NotFound, with the code model_not_found, for another model.
absl::StatusOr<Json> FindModel(const Backend& backend, const std::string& id);

// POST /tokenize: {"prompt"} or {"messages"} to {"count", "max_model_len", "tokens"}.
absl::StatusOr<Json> TokenizeText(const Backend& backend, const Json& body);

// POST /detokenize: {"tokens"} to {"prompt"}.
absl::StatusOr<Json> DetokenizeIds(const Backend& backend, const Json& body);

}  // namespace gemma::server

#endif  // CC_SERVER_MODEL_ROUTES_H_
