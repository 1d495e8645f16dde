#include "cc/server/completion_writer.h"

#include <utility>

#include "cc/server/openai_answer.h"

namespace gemma::server {

CompletionWriter::CompletionWriter(const Tokenizer& tokenizer, std::string model, bool stream_usage,
                                   std::string echo)
    : tokenizer_(tokenizer),
      model_(std::move(model)),
      stream_usage_(stream_usage),
      echo_(std::move(echo)),
      id_(RandomId("cmpl-")),
      created_(UnixTime()) {}

Json CompletionWriter::Envelope() const {
  return {{"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", model_}};
}

Json CompletionWriter::Logprobs(const std::vector<DrawnToken>& tokens, size_t& offset) const {
  Json names = Json::array(), logprobs = Json::array(), tops = Json::array();
  Json offsets = Json::array();
  for (const DrawnToken& token : tokens) {
    const std::string name = TokenText(tokenizer_, token.id);
    names.push_back(name);
    logprobs.push_back(token.logprob);
    Json top = Json::object();
    for (const TokenLogprob& entry : token.top)
      top[TokenText(tokenizer_, entry.id)] = entry.logprob;
    tops.push_back(std::move(top));
    offsets.push_back(offset);
    offset += name.size();
  }
  return {{"tokens", std::move(names)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json CompletionWriter::Whole(const Answer& answer) {
  Json whole = Envelope();
  whole["choices"] = Json::array();
  for (const Choice& choice : answer.choices) {
    size_t offset = 0;
    Json logprobs;
    if (answer.logprobs) logprobs = Logprobs(choice.tokens, offset);
    whole["choices"].push_back({{"index", whole["choices"].size()},
                                {"text", echo_ + choice.text},
                                {"logprobs", std::move(logprobs)},
                                {"finish_reason", OpenAiFinishReason(choice)}});
  }
  whole["usage"] = OpenAiUsage(answer);
  return whole;
}

std::string CompletionWriter::Chunk(int64_t choice, const std::string& text, Json logprobs,
                                    Json finish_reason) const {
  Json chunk = Envelope();
  chunk["choices"] = Json::array({{{"index", choice},
                                   {"text", text},
                                   {"logprobs", std::move(logprobs)},
                                   {"finish_reason", std::move(finish_reason)}}});
  if (stream_usage_) chunk["usage"] = nullptr;
  return Sse(chunk);
}

std::string CompletionWriter::Begin(const Answer& answer) {
  offsets_.assign(answer.choices.size(), 0);
  std::string text;
  for (size_t i = 0; i < answer.choices.size() && !echo_.empty(); ++i)
    text += Chunk(static_cast<int64_t>(i), echo_, nullptr, nullptr);
  return text;
}

std::string CompletionWriter::Step(const Answer& answer, const JobEvent& event) {
  std::string piece;
  for (const AnswerEvent& part : event.step.events) piece += part.text;
  Json logprobs;
  if (answer.logprobs && event.step.token.has_value())
    logprobs = Logprobs({event.step.token->drawn}, offsets_[static_cast<size_t>(event.choice)]);
  std::string text;
  if (!piece.empty() || !logprobs.is_null())
    text = Chunk(event.choice, piece, std::move(logprobs), nullptr);
  if (event.end.has_value() && event.end->reason != FinishReason::kCancelled) {
    const Choice& choice = answer.choices[static_cast<size_t>(event.choice)];
    text += Chunk(event.choice, "", nullptr, OpenAiFinishReason(choice));
  }
  return text;
}

std::string CompletionWriter::End(const Answer& answer) {
  std::string text;
  if (stream_usage_) {
    Json chunk = Envelope();
    chunk["choices"] = Json::array();
    chunk["usage"] = OpenAiUsage(answer);
    text = Sse(chunk);
  }
  return text + std::string(kSseDone);
}

std::string CompletionWriter::Fail(const Answer&, const ApiError& error) {
  return Sse(OpenAiError(error)) + std::string(kSseDone);
}

}  // namespace gemma::server
