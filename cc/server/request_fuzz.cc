// Whatever the body of a request, it is refused with a sentence and a status of the client's, 4xx;
// or what it asks for is within the limits that the scheduler relies on, and its job fits the
// model.
//
// An input's first byte names the API: 'c' chat completions, 'p' completions, 'r' responses, 'm'
// messages, 'n' messages/count_tokens. The rest is the body.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "cc/engine/fake_engine.h"
#include "cc/kernels/sampling_params.h"
#include "cc/server/api_error.h"
#include "cc/server/chat_request.h"
#include "cc/server/completion_request.h"
#include "cc/server/json_body.h"
#include "cc/server/make_job_spec.h"
#include "cc/server/messages_request.h"
#include "cc/server/responses_request.h"
#include "cc/server/text_request.h"
#include "cc/text/token_constraint.h"

namespace gemma::fuzzing {
namespace {

using server::Json;
using server::TextRequest;

FakeEngine& TheEngine() {
  static auto& engine = *new FakeEngine(
      {.special = {"<bos>", "<turn|>", "<|turn>", "<|think|>", "<|channel>", "<channel|>",
                   "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
                   "<tool_response|>", "<|\"|>"},
       .chat_template = "gemma4"});
  return engine;
}

// Takes every form: which schemas can be enforced is make_constraint_compiler_fuzz's question.
class WillingCompiler final : public ConstraintCompiler {
 public:
  absl::StatusOr<std::unique_ptr<TokenConstraint>> Compile(
      const OutputFormat& format) const override {
    Check(!format.IsFree(), "a free answer is not constrained");
    return std::unique_ptr<TokenConstraint>();
  }
};

absl::StatusOr<TextRequest> Parse(char api, const std::string& body) {
  const absl::StatusOr<Json> json = server::ParseBody(body);
  if (!json.ok()) return json.status();
  const std::string dumped = server::Dump(*json);
  const absl::StatusOr<Json> again = server::ParseBody(dumped);
  Check(again.ok() && server::Dump(*again) == dumped,
        "a body is the same once it is written again:", dumped);
  switch (api) {
    case 'c':
      return server::ParseChatRequest(*json, {});
    case 'p':
      return server::ParseCompletionRequest(*json, {});
    case 'r':
      return server::ParseResponsesRequest(*json, {});
    case 'm':
      return server::ParseMessagesRequest(*json, {});
    default:
      return server::ParseCountRequest(*json);
  }
}

void CheckClientsError(const absl::Status& status) {
  CheckRefusal(status);
  const server::ApiError error = server::ToApiError(status);
  Check(error.http_status >= 400 && error.http_status < 500, "a refusal is 4xx:", status.message());
  Check(server::Dump(server::OpenAiError(error)).size() < 4000, "an error is short");
  Check(server::Dump(server::AnthropicError(error)).size() < 4000, "an error is short");
}

void CheckLimits(const TextRequest& request) {
  Check(request.choices >= 1 && request.choices <= server::kMaxChoices, "choices are few");
  Check(request.stop.size() <= server::kMaxStops, "stop strings are few");
  for (const std::string& stop : request.stop) Check(!stop.empty(), "a stop string is not empty");
  Check(request.format.tools.size() <= server::kMaxTools, "tools are few");
  Check(SamplingProblem(request.sampling).empty(), "sampling parameters are allowed");
  Check(request.max_new_tokens.value_or(1) >= 1, "some token may be drawn");
}

bool AcceptsJob(const TextRequest& request) {
  const WillingCompiler compiler;
  const auto job = server::MakeJobSpec(TheEngine(), &compiler, request, "key");
  if (!job.ok()) {
    CheckClientsError(job.status());
    return false;
  }
  const EngineLimits& limits = TheEngine().limits();
  for (const int32_t id : job->prompt)
    Check(id >= 0 && id < limits.vocab_size, "a token is of the vocabulary");
  const auto prompt = static_cast<int64_t>(job->prompt.size());
  Check(job->options.max_new_tokens >= 1, "some token may be drawn");
  Check(prompt + job->options.max_new_tokens <= limits.max_seq_len + 1,
        "prompt and answer fit the context");
  Check(job->constraints.size() ==
            (request.format.IsFree() ? 0u : static_cast<size_t>(request.choices)),
        "each choice has its constraint");
  return true;
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  if (bytes.empty()) return false;
  const absl::StatusOr<TextRequest> request = Parse(bytes[0], std::string(bytes.substr(1)));
  if (!request.ok()) {
    CheckClientsError(request.status());
    return false;
  }
  CheckLimits(*request);
  return AcceptsJob(*request);
}

std::vector<std::string> Seeds() { return {}; }

}  // namespace gemma::fuzzing
