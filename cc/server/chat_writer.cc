#include "cc/server/chat_writer.h"

#include "cc/server/openai_answer.h"

namespace gemma::server {
namespace {

Json ToolCallJson(const AnswerToolCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

}  // namespace

ChatWriter::ChatWriter(const Tokenizer& tokenizer, std::string model, bool stream_usage)
    : tokenizer_(tokenizer),
      model_(std::move(model)),
      stream_usage_(stream_usage),
      id_(RandomId("chatcmpl-")),
      created_(UnixTime()) {}

Json ChatWriter::Envelope(const char* object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

Json ChatWriter::Message(const Choice& choice) const {
  Json message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  if (!choice.thought.empty()) message["reasoning_content"] = choice.thought;
  if (choice.tool_calls.empty()) return message;
  if (choice.text.empty()) message["content"] = nullptr;
  message["tool_calls"] = Json::array();
  for (const AnswerToolCall& call : choice.tool_calls)
    message["tool_calls"].push_back(ToolCallJson(call));
  return message;
}

Json ChatWriter::Whole(const Answer& answer) {
  Json whole = Envelope("chat.completion");
  whole["choices"] = Json::array();
  for (const Choice& choice : answer.choices) {
    Json logprobs;
    if (answer.logprobs)
      logprobs = {{"content", TokenLogprobs(tokenizer_, choice.tokens)}, {"refusal", nullptr}};
    whole["choices"].push_back({{"index", whole["choices"].size()},
                                {"message", Message(choice)},
                                {"logprobs", std::move(logprobs)},
                                {"finish_reason", OpenAiFinishReason(choice)}});
  }
  whole["usage"] = OpenAiUsage(answer);
  return whole;
}

std::string ChatWriter::Chunk(int64_t choice, Json delta, Json logprobs, Json finish_reason) const {
  Json chunk = Envelope("chat.completion.chunk");
  chunk["choices"] = Json::array({{{"index", choice},
                                   {"delta", std::move(delta)},
                                   {"logprobs", std::move(logprobs)},
                                   {"finish_reason", std::move(finish_reason)}}});
  if (stream_usage_) chunk["usage"] = nullptr;
  return Sse(chunk);
}

std::string ChatWriter::Begin(const Answer& answer) {
  calls_.assign(answer.choices.size(), 0);
  std::string text;
  for (size_t i = 0; i < answer.choices.size(); ++i) {
    text +=
        Chunk(static_cast<int64_t>(i), {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
  }
  return text;
}

// Null where a client is not told of the event.
Json ChatWriter::Delta(int64_t choice, const Choice& state, const AnswerEvent& event) {
  size_t& calls = calls_[static_cast<size_t>(choice)];
  const auto call = [&](Json fields) {
    fields["index"] = calls - 1;
    return Json{{"tool_calls", Json::array({std::move(fields)})}};
  };
  switch (event.kind) {
    case AnswerEvent::Kind::kText:
      return {{"content", event.text}};
    case AnswerEvent::Kind::kThought:
      return {{"reasoning_content", event.text}};
    case AnswerEvent::Kind::kToolCall: {
      const AnswerToolCall& begun = state.tool_calls[calls++];
      return call(ToolCallJson({begun.id, begun.name, ""}));
    }
    case AnswerEvent::Kind::kToolArguments:
      return call({{"function", {{"arguments", event.text}}}});
    case AnswerEvent::Kind::kToolCallEnd:
      return nullptr;
  }
  return nullptr;
}

std::string ChatWriter::Step(const Answer& answer, const JobEvent& event) {
  const Choice& choice = answer.choices[static_cast<size_t>(event.choice)];
  Json logprobs;
  if (answer.logprobs && event.step.token.has_value() && event.step.token->is_text)
    logprobs = {{"content", TokenLogprobs(tokenizer_, {event.step.token->drawn})}};
  std::string text;
  for (const AnswerEvent& part : event.step.events) {
    Json delta = Delta(event.choice, choice, part);
    if (delta.is_null()) continue;
    text += Chunk(event.choice, std::move(delta), std::exchange(logprobs, nullptr), nullptr);
  }
  // A token whose text is held back still has its log-probability.
  if (!logprobs.is_null()) text += Chunk(event.choice, {{"content", ""}}, logprobs, nullptr);
  if (event.end.has_value() && event.end->reason != FinishReason::kCancelled)
    text += Chunk(event.choice, Json::object(), nullptr, OpenAiFinishReason(choice));
  return text;
}

std::string ChatWriter::End(const Answer& answer) {
  std::string text;
  if (stream_usage_) {
    Json chunk = Envelope("chat.completion.chunk");
    chunk["choices"] = Json::array();
    chunk["usage"] = OpenAiUsage(answer);
    text = Sse(chunk);
  }
  return text + std::string(kSseDone);
}

std::string ChatWriter::Fail(const Answer&, const ApiError& error) {
  return Sse(OpenAiError(error)) + std::string(kSseDone);
}

}  // namespace gemma::server
