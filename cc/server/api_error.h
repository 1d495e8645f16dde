// Errors on their way to a client. Inside, an error is an absl::Status with one sentence; what the
// wire needs beside it (which field, which code, when to come again) travels in its payloads.
#ifndef CC_SERVER_API_ERROR_H_
#define CC_SERVER_API_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/server/json_body.h"

namespace gemma::server {

// InvalidArgument about a field: "FIELD: PROBLEM".
absl::Status BadField(absl::string_view field, absl::string_view problem);

// The same, with `sentence` as it is.
absl::Status WithField(absl::Status status, absl::string_view field);

// Names the error for programs, such as "context_length_exceeded".
absl::Status WithCode(absl::Status status, absl::string_view code);

// The client may come again after so many seconds.
absl::Status WithRetryAfter(absl::Status status, int seconds);

// What the wire says of an error.
struct ApiError {
  int http_status = 500;
  std::string message;
  std::string field;    // empty: none
  std::string code;     // empty: none
  int retry_after = 0;  // seconds; 0: not said
};

// InvalidArgument, OutOfRange, FailedPrecondition: 400; Unauthenticated: 401; PermissionDenied:
// 403; NotFound: 404; ResourceExhausted: 429; Unavailable: 503; DeadlineExceeded: 408; else 500.
ApiError ToApiError(const absl::Status& status);

// {"error": {"message", "type", "param", "code"}}
Json OpenAiError(const ApiError& error);

// {"type": "error", "error": {"type", "message"}}
Json AnthropicError(const ApiError& error);

}  // namespace gemma::server

#endif  // CC_SERVER_API_ERROR_H_
