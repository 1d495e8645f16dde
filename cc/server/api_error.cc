#include "cc/server/api_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace gemma::server {
namespace {

constexpr char kField[] = "gemma.server/field";
constexpr char kCode[] = "gemma.server/code";
constexpr char kRetryAfter[] = "gemma.server/retry_after";

std::string Payload(const absl::Status& status, absl::string_view name) {
  const auto payload = status.GetPayload(name);
  return payload.has_value() ? std::string(*payload) : "";
}

int HttpStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kDeadlineExceeded:
      return 408;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

const char* OpenAiType(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return http_status < 500 ? "invalid_request_error" : "server_error";
  }
}

const char* AnthropicType(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return http_status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

absl::Status WithField(absl::Status status, absl::string_view field) {
  status.SetPayload(kField, absl::Cord(field));
  return status;
}

absl::Status BadField(absl::string_view field, absl::string_view problem) {
  return WithField(absl::InvalidArgumentError(absl::StrCat(field, ": ", problem)), field);
}

absl::Status WithCode(absl::Status status, absl::string_view code) {
  status.SetPayload(kCode, absl::Cord(code));
  return status;
}

absl::Status WithRetryAfter(absl::Status status, int seconds) {
  status.SetPayload(kRetryAfter, absl::Cord(absl::StrCat(seconds)));
  return status;
}

ApiError ToApiError(const absl::Status& status) {
  ApiError error = {.http_status = HttpStatus(status),
                    .message = std::string(status.message()),
                    .field = Payload(status, kField),
                    .code = Payload(status, kCode)};
  if (!absl::SimpleAtoi(Payload(status, kRetryAfter), &error.retry_after)) error.retry_after = 0;
  return error;
}

Json OpenAiError(const ApiError& error) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
  };
  return {{"error",
           {{"message", error.message},
            {"type", OpenAiType(error.http_status)},
            {"param", text_or_null(error.field)},
            {"code", text_or_null(error.code)}}}};
}

Json AnthropicError(const ApiError& error) {
  return {{"type", "error"},
          {"error", {{"type", AnthropicType(error.http_status)}, {"message", error.message}}}};
}

}  // namespace gemma::server
