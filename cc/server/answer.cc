#include "cc/server/answer.h"

#include <random>

namespace gemma::server {
namespace {

void AddEvent(const AnswerEvent& event, Choice& choice) {
  switch (event.kind) {
    case AnswerEvent::Kind::kText:
      choice.text += event.text;
      break;
    case AnswerEvent::Kind::kThought:
      choice.thought += event.text;
      break;
    case AnswerEvent::Kind::kToolCall:
      choice.tool_calls.push_back({RandomId("call_"), event.text, ""});
      break;
    case AnswerEvent::Kind::kToolArguments:
      choice.tool_calls.back().arguments += event.text;
      break;
    case AnswerEvent::Kind::kToolCallEnd:
      break;
  }
}

}  // namespace

std::string RandomId(const std::string& prefix) {
  constexpr char kLetters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, sizeof(kLetters) - 2);
  std::string id = prefix;
  for (int i = 0; i < 24; ++i) id += kLetters[letter(random)];
  return id;
}

void Answer::Add(const Job& job, const JobEvent& event) {
  cached_tokens = job.cached_tokens();
  Choice& choice = choices[static_cast<size_t>(event.choice)];
  for (const AnswerEvent& part : event.step.events) AddEvent(part, choice);
  if (event.step.token.has_value()) {
    const GeneratedToken& token = *event.step.token;
    if (token.is_text && logprobs) choice.tokens.push_back(token.drawn);
    if (!token.is_text && choice.tool_calls.empty()) ++reasoning_tokens;
  }
  if (!event.end.has_value()) return;
  choice.ended = true;
  choice.end = *event.end;
}

int64_t Answer::completion_tokens() const {
  int64_t tokens = 0;
  for (const Choice& choice : choices) tokens += choice.end.new_tokens;
  return tokens;
}

}  // namespace gemma::server
