// POST /v1/completions: from its body to a TextRequest. docs/serving.md lists the fields.
#ifndef CC_SERVER_COMPLETION_REQUEST_H_
#define CC_SERVER_COMPLETION_REQUEST_H_

#include "absl/status/statusor.h"
#include "cc/server/json_body.h"
#include "cc/server/text_request.h"

namespace gemma::server {

// `sampling`: what the artifact says. BadField for what is missing, wrong, unsupported or unknown.
absl::StatusOr<TextRequest> ParseCompletionRequest(const Json& body,
                                                   const SamplingParams& sampling);

// A string or an array of token ids, or an array of one of these.
absl::StatusOr<Prompt> ParsePrompt(const Json& prompt);

}  // namespace gemma::server

#endif  // CC_SERVER_COMPLETION_REQUEST_H_
