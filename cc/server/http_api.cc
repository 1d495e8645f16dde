#include "cc/server/http_api.h"

#include <arpa/inet.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "cc/base/status_macros.h"
#include "cc/server/answer_stream.h"
#include "cc/server/api_error.h"
#include "cc/server/chat_request.h"
#include "cc/server/chat_writer.h"
#include "cc/server/completion_request.h"
#include "cc/server/completion_writer.h"
#include "cc/server/make_job_spec.h"
#include "cc/server/messages_request.h"
#include "cc/server/messages_writer.h"
#include "cc/server/model_routes.h"
#include "cc/server/responses_request.h"
#include "cc/server/responses_writer.h"
#include "cc/server/web_routes.h"

namespace gemma::server {
namespace {

using httplib::Request;
using httplib::Response;

constexpr char kJson[] = "application/json";
constexpr int kClientLeft = 499;  // as nginx counts it; nobody reads it

bool IsAnthropic(const Request& request) { return absl::StartsWith(request.path, "/v1/messages"); }

// What needs no key.
bool IsOpen(const Request& request) { return request.path == "/health" || IsWebPath(request.path); }

// "localhost:8080", "127.0.0.1", "[::1]:8080" and the like.
bool IsLocalName(absl::string_view host) {
  if (absl::ConsumePrefix(&host, "[")) return absl::StrContains(host, ']');
  host = host.substr(0, host.find(':'));
  in_addr address;
  return host.empty() || host == "localhost" ||
         inet_pton(AF_INET, std::string(host).c_str(), &address) == 1;
}

absl::Status CheckJsonType(const Request& request) {
  const std::string type = request.get_header_value("Content-Type");
  if (absl::StartsWithIgnoreCase(type, kJson)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the header Content-Type is \"", type.substr(0, 60), "\", but bodies are application/json"));
}

absl::StatusOr<Json> ReadBody(const Request& request) {
  GEMMA_RETURN_IF_ERROR(CheckJsonType(request));
  return ParseBody(request.body);
}

// What httplib itself refuses, in one sentence.
std::string SentenceOf(int status, const Request& request) {
  switch (status) {
    case 404:
      return absl::StrCat(request.method, " ", request.path.substr(0, 100),
                          " is not served (docs/serving.md lists what is)");
    case 413:
      return "the body is larger than this server takes (serve with a larger --max_body_mb)";
    case 414:
      return "the address is longer than this server takes";
    case 415:
      return "the body has a Content-Encoding, which this server does not take";
    default:
      return "the request is not HTTP that this server understands";
  }
}

}  // namespace

// How an API reads a request and writes its answer.
struct HttpApi::Api {
  absl::StatusOr<TextRequest> (*parse)(const Json& body, const SamplingParams& sampling);
  std::unique_ptr<AnswerWriter> (*write)(const Backend& backend, const TextRequest& request);
};

namespace {

std::unique_ptr<AnswerWriter> WriteChat(const Backend& backend, const TextRequest& request) {
  return std::make_unique<ChatWriter>(*backend.engine.tokenizer(), backend.model_name,
                                      request.stream_usage);
}

std::unique_ptr<AnswerWriter> WriteCompletion(const Backend& backend, const TextRequest& request) {
  const auto* text = std::get_if<std::string>(&request.prompt);
  return std::make_unique<CompletionWriter>(*backend.engine.tokenizer(), backend.model_name,
                                            request.stream_usage,
                                            request.echo && text != nullptr ? *text : "");
}

std::unique_ptr<AnswerWriter> WriteResponse(const Backend& backend, const TextRequest& request) {
  return std::make_unique<ResponsesWriter>(*backend.engine.tokenizer(), backend.model_name,
                                           request);
}

std::unique_ptr<AnswerWriter> WriteMessage(const Backend& backend, const TextRequest&) {
  return std::make_unique<MessagesWriter>(backend.model_name);
}

// POST /v1/messages/count_tokens.
absl::StatusOr<Json> CountTokens(const Request& request, Backend& backend) {
  GEMMA_ASSIGN_OR_RETURN(const Json body, ReadBody(request));
  GEMMA_ASSIGN_OR_RETURN(const TextRequest text, ParseCountRequest(body));
  GEMMA_RETURN_IF_ERROR(FindModel(backend, text.model).status());
  GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, EncodePrompt(backend.engine, text));
  return Json{{"input_tokens", ids.size()}};
}

}  // namespace

HttpApi::HttpApi(GuardedHttpServer& server, ApiKeys keys, bool only_local_names)
    : server_(server), keys_(std::move(keys)), only_local_names_(only_local_names) {
  server.set_pre_routing_handler(
      [this](const Request& request, Response& response) { return Admit(request, response); });
  server.set_error_handler([this](const Request& request, Response& response) {
    if (!response.body.empty()) return;
    ApiError error;
    error.http_status = response.status;
    error.message = SentenceOf(response.status, request);
    response.set_content(Dump(IsAnthropic(request) ? AnthropicError(error) : OpenAiError(error)),
                         kJson);
  });
  server.set_exception_handler(
      [this](const Request& request, Response& response, std::exception_ptr) {
        Refuse(absl::InternalError("the request failed inside the server"), request, response);
      });
  server.set_logger([this](const Request& request, const Response& response) {
    metrics_.CountRequest(request.matched_route.empty() ? "other" : request.matched_route,
                          response.status);
  });
  AddWebRoutes(server);
  AddStateRoutes();
  AddModelRoutes();
  AddTokenRoutes();
  AddAnswerRoute("/v1/chat/completions", {ParseChatRequest, WriteChat});
  AddAnswerRoute("/v1/completions", {ParseCompletionRequest, WriteCompletion});
  AddAnswerRoute("/v1/responses", {ParseResponsesRequest, WriteResponse});
  AddAnswerRoute("/v1/messages", {ParseMessagesRequest, WriteMessage});
}

void HttpApi::SetBackend(std::shared_ptr<Backend> backend) {
  std::lock_guard lock(mutex_);
  backend_ = std::move(backend);
}

absl::StatusOr<std::shared_ptr<Backend>> HttpApi::FindBackend() const {
  if (draining_) return WithRetryAfter(absl::UnavailableError("the server is shutting down"), 60);
  std::lock_guard lock(mutex_);
  if (backend_ != nullptr) return backend_;
  return WithCode(WithRetryAfter(absl::UnavailableError("the model is being loaded"), 5),
                  "loading");
}

absl::Status HttpApi::CheckClient(const Request& request) const {
  const std::string host = request.get_header_value("Host");
  if (only_local_names_ && !IsLocalName(host)) {
    return absl::PermissionDeniedError(
        absl::StrCat("the header Host is ", host.substr(0, 60),
                     ", but this server has no keys and is for its own machine alone"));
  }
  if (IsOpen(request) || keys_.empty()) return absl::OkStatus();
  if (keys_.Find(KeyOf(request)).has_value()) return absl::OkStatus();
  return WithCode(absl::UnauthenticatedError(
                      "the API key is missing or wrong (send Authorization: Bearer KEY)"),
                  "invalid_api_key");
}

std::string HttpApi::KeyOf(const Request& request) const {
  const std::string header = request.get_header_value("Authorization");
  absl::string_view key = header;
  if (absl::ConsumePrefix(&key, "Bearer ")) return std::string(key);
  return request.get_header_value("x-api-key");
}

// Before a body is read.
httplib::Server::HandlerResponse HttpApi::Admit(const Request& request, Response& response) {
  response.set_header("x-request-id", RandomId("req_"));
  const absl::Status status = CheckClient(request);
  if (status.ok()) return httplib::Server::HandlerResponse::Unhandled;
  Refuse(status, request, response);
  // The body is not read, so nothing can follow it.
  response.set_header("Connection", "close");
  return httplib::Server::HandlerResponse::Handled;
}

void HttpApi::Refuse(const absl::Status& status, const Request& request, Response& response) const {
  const ApiError error = ToApiError(status);
  response.status = absl::IsCancelled(status) ? kClientLeft : error.http_status;
  if (error.retry_after > 0) response.set_header("Retry-After", std::to_string(error.retry_after));
  response.set_content(Dump(IsAnthropic(request) ? AnthropicError(error) : OpenAiError(error)),
                       kJson);
}

void HttpApi::AddStateRoutes() {
  server_.Get("/health", [this](const Request& request, Response& response) {
    const absl::Status status = FindBackend().status();
    if (!status.ok()) return Refuse(status, request, response);
    response.set_content(R"({"status":"ok"})", kJson);
  });
  server_.Get("/metrics", [this](const Request&, Response& response) {
    std::shared_ptr<Backend> backend;
    {
      std::lock_guard lock(mutex_);
      backend = backend_;
    }
    const SchedulerState state =
        backend == nullptr ? SchedulerState{} : backend->scheduler->state();
    response.set_content(metrics_.Render(state, backend != nullptr), "text/plain; version=0.0.4");
  });
}

void HttpApi::AddModelRoutes() {
  AddJsonRoute(false, "/v1/models", [](const Request&, Backend& backend) -> absl::StatusOr<Json> {
    return ModelList(backend);
  });
  AddJsonRoute(false, "/v1/models/(.{1,200})", [](const Request& request, Backend& backend) {
    return FindModel(backend, request.matches[1]);
  });
}

void HttpApi::AddTokenRoutes() {
  AddJsonRoute(true, "/tokenize",
               [](const Request& request, Backend& backend) -> absl::StatusOr<Json> {
                 GEMMA_ASSIGN_OR_RETURN(const Json body, ReadBody(request));
                 return TokenizeText(backend, body);
               });
  AddJsonRoute(true, "/v1/messages/count_tokens", CountTokens);
  AddJsonRoute(true, "/detokenize",
               [](const Request& request, Backend& backend) -> absl::StatusOr<Json> {
                 GEMMA_ASSIGN_OR_RETURN(const Json body, ReadBody(request));
                 return DetokenizeIds(backend, body);
               });
}

void HttpApi::AddJsonRoute(bool post, const char* path, Handler handler) {
  const auto answer = [this, handler](const Request& request, Response& response) {
    GuardedHttpServer::BodyIsThere();
    const absl::StatusOr<std::shared_ptr<Backend>> backend = FindBackend();
    if (!backend.ok()) return Refuse(backend.status(), request, response);
    const absl::StatusOr<Json> json = handler(request, **backend);
    if (!json.ok()) return Refuse(json.status(), request, response);
    response.set_content(Dump(*json), kJson);
  };
  if (post) {
    server_.Post(path, answer);
  } else {
    server_.Get(path, answer);
  }
}

void HttpApi::AddAnswerRoute(const char* path, const Api& api) {
  server_.Post(path, [this, api](const Request& request, Response& response) {
    GuardedHttpServer::BodyIsThere();
    const absl::Status status = Answer(api, request, response);
    if (!status.ok()) Refuse(status, request, response);
  });
}

absl::Status HttpApi::Answer(const Api& api, const Request& request, Response& response) {
  GEMMA_ASSIGN_OR_RETURN(const std::shared_ptr<Backend> backend, FindBackend());
  GEMMA_ASSIGN_OR_RETURN(const Json body, ReadBody(request));
  GEMMA_ASSIGN_OR_RETURN(const TextRequest text,
                         api.parse(body, backend->engine.manifest().sampling));
  GEMMA_RETURN_IF_ERROR(FindModel(*backend, text.model).status());
  GEMMA_ASSIGN_OR_RETURN(JobSpec spec, MakeJobSpec(backend->engine, backend->compiler, text,
                                                   keys_.Find(KeyOf(request)).value_or("")));
  std::unique_ptr<AnswerWriter> writer = api.write(*backend, text);
  GEMMA_ASSIGN_OR_RETURN(std::shared_ptr<Job> job, backend->scheduler->Submit(std::move(spec)));
  ++active_;
  const std::shared_ptr<void> counted(nullptr, [this](void*) { --active_; });
  auto stream = std::make_shared<AnswerStream>(backend, std::move(job), std::move(writer),
                                               request.is_connection_closed, metrics_);
  if (!text.stream) {
    GEMMA_ASSIGN_OR_RETURN(const Json whole, stream->Whole());
    response.set_content(Dump(whole), kJson);
    return absl::OkStatus();
  }
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider("text/event-stream", [stream, counted](
                                                                 size_t, httplib::DataSink& sink) {
    const bool goes_on =
        stream->Pump([&](absl::string_view text) { return sink.write(text.data(), text.size()); });
    if (!goes_on && stream->ended()) sink.done();
    return goes_on || stream->ended();
  });
  return absl::OkStatus();
}

}  // namespace gemma::server
