// POST /v1/chat/completions: from its body to a TextRequest. docs/serving.md lists the fields.
#ifndef CC_SERVER_CHAT_REQUEST_H_
#define CC_SERVER_CHAT_REQUEST_H_

#include "absl/status/statusor.h"
#include "cc/server/fields.h"
#include "cc/server/json_body.h"
#include "cc/server/text_request.h"

namespace gemma::server {

// `sampling`: what the artifact says. BadField for what is missing, wrong, unsupported or unknown.
absl::StatusOr<TextRequest> ParseChatRequest(const Json& body, const SamplingParams& sampling);

// The array of "messages" alone, for /tokenize.
absl::StatusOr<std::vector<Message>> ParseChatMessages(const Json& messages);

// {"enable_thinking"} of "chat_template_kwargs".
absl::Status ReadTemplateArguments(Fields& fields, bool& thinking);

}  // namespace gemma::server

#endif  // CC_SERVER_CHAT_REQUEST_H_
