#include "cc/server/messages_writer.h"

#include <utility>

namespace gemma::server {
namespace {

using Kind = AnswerEvent::Kind;

// A client sends it back with the thoughts; nothing here checks it.
constexpr char kSignature[] = "unsigned";

Json StopReason(const Choice& choice) {
  if (choice.is_cut()) return "max_tokens";
  if (choice.end.reason == FinishReason::kStopString) return "stop_sequence";
  return choice.calls_tools() ? "tool_use" : "end_turn";
}

Json StopSequence(const Choice& choice) {
  if (choice.end.reason != FinishReason::kStopString) return nullptr;
  return choice.end.stop_string;
}

// Tokens that were cached are not counted among input_tokens, as in Anthropic's API.
Json Usage(const Answer& answer, int64_t written) {
  return {{"input_tokens", answer.prompt_tokens - answer.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", answer.cached_tokens},
          {"output_tokens", written}};
}

// The arguments as an object; an answer that was cut has none.
Json InputOf(const AnswerToolCall& call) {
  const absl::StatusOr<Json> input = ParseBody(call.arguments);
  return input.ok() && input->is_object() ? *input : Json::object();
}

}  // namespace

MessagesWriter::MessagesWriter(std::string model)
    : model_(std::move(model)), id_(RandomId("msg_")) {}

Json MessagesWriter::Message() const {
  return {{"id", id_},
          {"type", "message"},
          {"role", "assistant"},
          {"model", model_},
          {"content", Json::array()},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

Json MessagesWriter::Whole(const Answer& answer) {
  const Choice& choice = answer.choices[0];
  Json message = Message();
  Json& content = message["content"];
  if (!choice.thought.empty()) {
    content.push_back(
        {{"type", "thinking"}, {"thinking", choice.thought}, {"signature", kSignature}});
  }
  if (!choice.text.empty()) content.push_back({{"type", "text"}, {"text", choice.text}});
  for (const AnswerToolCall& call : choice.tool_calls) {
    content.push_back(
        {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", InputOf(call)}});
  }
  message["stop_reason"] = StopReason(choice);
  message["stop_sequence"] = StopSequence(choice);
  message["usage"] = Usage(answer, answer.completion_tokens());
  return message;
}

std::string MessagesWriter::Begin(const Answer& answer) {
  Json message = Message();
  message["usage"] = Usage(answer, 0);
  return Sse("message_start", {{"type", "message_start"}, {"message", std::move(message)}});
}

std::string MessagesWriter::Open(Kind kind, Json block) {
  std::string text = Close();
  open_ = true;
  kind_ = kind;
  ++block_;
  return text + Sse("content_block_start", {{"type", "content_block_start"},
                                            {"index", block_},
                                            {"content_block", std::move(block)}});
}

std::string MessagesWriter::Close() {
  if (!std::exchange(open_, false)) return "";
  std::string text;
  if (kind_ == Kind::kThought)
    text = Delta({{"type", "signature_delta"}, {"signature", kSignature}});
  return text + Sse("content_block_stop", {{"type", "content_block_stop"}, {"index", block_}});
}

std::string MessagesWriter::Delta(Json delta) const {
  return Sse("content_block_delta",
             {{"type", "content_block_delta"}, {"index", block_}, {"delta", std::move(delta)}});
}

// The block that a part belongs to, where it is not open yet.
std::string MessagesWriter::OpenFor(const Choice& choice, const AnswerEvent& part) {
  if (open_ && kind_ == part.kind && part.kind != Kind::kToolCall) return "";
  if (part.kind == Kind::kText) return Open(Kind::kText, {{"type", "text"}, {"text", ""}});
  if (part.kind == Kind::kThought) {
    return Open(Kind::kThought, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
  }
  if (part.kind != Kind::kToolCall) return "";
  const AnswerToolCall& call = choice.tool_calls[calls_++];
  return Open(
      Kind::kToolCall,
      {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
}

std::string MessagesWriter::Part(const AnswerEvent& part) {
  switch (part.kind) {
    case Kind::kText:
      return Delta({{"type", "text_delta"}, {"text", part.text}});
    case Kind::kThought:
      return Delta({{"type", "thinking_delta"}, {"thinking", part.text}});
    case Kind::kToolArguments:
      return Delta({{"type", "input_json_delta"}, {"partial_json", part.text}});
    case Kind::kToolCallEnd:
      return Close();
    case Kind::kToolCall:
      return "";
  }
  return "";
}

std::string MessagesWriter::Step(const Answer& answer, const JobEvent& event) {
  std::string text;
  for (const AnswerEvent& part : event.step.events) {
    text += OpenFor(answer.choices[0], part);
    text += Part(part);
  }
  return text;
}

std::string MessagesWriter::End(const Answer& answer) {
  const Choice& choice = answer.choices[0];
  std::string text = Close();
  text += Sse(
      "message_delta",
      {{"type", "message_delta"},
       {"delta", {{"stop_reason", StopReason(choice)}, {"stop_sequence", StopSequence(choice)}}},
       {"usage", Usage(answer, answer.completion_tokens())}});
  return text + Sse("message_stop", {{"type", "message_stop"}});
}

std::string MessagesWriter::Fail(const Answer&, const ApiError& error) {
  return Sse("error", AnthropicError(error));
}

}  // namespace gemma::server
