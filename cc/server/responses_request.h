// POST /v1/responses: from its body to a TextRequest. docs/serving.md lists the fields.
#ifndef CC_SERVER_RESPONSES_REQUEST_H_
#define CC_SERVER_RESPONSES_REQUEST_H_

#include "absl/status/statusor.h"
#include "cc/server/json_body.h"
#include "cc/server/text_request.h"

namespace gemma::server {

// `sampling`: what the artifact says. BadField for what is missing, wrong, unsupported or unknown.
absl::StatusOr<TextRequest> ParseResponsesRequest(const Json& body, const SamplingParams& sampling);

}  // namespace gemma::server

#endif  // CC_SERVER_RESPONSES_REQUEST_H_
