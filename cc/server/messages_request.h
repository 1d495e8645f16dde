// POST /v1/messages and /v1/messages/count_tokens, Anthropic's API: from a body to a TextRequest.
// docs/serving.md lists the fields.
#ifndef CC_SERVER_MESSAGES_REQUEST_H_
#define CC_SERVER_MESSAGES_REQUEST_H_

#include "absl/status/statusor.h"
#include "cc/server/json_body.h"
#include "cc/server/text_request.h"

namespace gemma::server {

// `sampling`: what the artifact says. BadField for what is missing, wrong, unsupported or unknown.
absl::StatusOr<TextRequest> ParseMessagesRequest(const Json& body, const SamplingParams& sampling);

// The same fields, but max_tokens need not be there.
absl::StatusOr<TextRequest> ParseCountRequest(const Json& body);

}  // namespace gemma::server

#endif  // CC_SERVER_MESSAGES_REQUEST_H_
