// An answer as it grows: what a client of any API is told of it at the end. Plain data, filled from
// the events of a job.
#ifndef CC_SERVER_ANSWER_H_
#define CC_SERVER_ANSWER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/engine/generation.h"
#include "cc/server/job.h"

namespace gemma::server {

struct AnswerToolCall {
  std::string id;  // "call_...", ours
  std::string name;
  std::string arguments;  // JSON text; cut off where the answer was
};

struct Choice {
  std::string text;
  std::string thought;
  std::vector<AnswerToolCall> tool_calls;
  std::vector<DrawnToken> tokens;  // of the text, where log-probabilities were asked for
  bool ended = false;
  GenerationResult end;  // once ended

  // Whether it ended to have tools called.
  bool calls_tools() const { return !tool_calls.empty() && end.reason == FinishReason::kStopId; }
  // Whether a limit cut it off.
  bool is_cut() const {
    return end.reason == FinishReason::kMaxNewTokens || end.reason == FinishReason::kContextFull;
  }
};

struct Answer {
  explicit Answer(const JobSpec& spec)
      : logprobs(spec.options.changes.top_logprobs.has_value()),
        prompt_tokens(static_cast<int64_t>(spec.prompt.size())),
        choices(static_cast<size_t>(spec.choices)) {}

  bool logprobs = false;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;     // of prompt_tokens
  int64_t reasoning_tokens = 0;  // of completion_tokens
  std::vector<Choice> choices;

  void Add(const Job& job, const JobEvent& event);
  int64_t completion_tokens() const;  // once all choices have ended
};

// "call_" and the like before 24 random letters and digits.
std::string RandomId(const std::string& prefix);

}  // namespace gemma::server

#endif  // CC_SERVER_ANSWER_H_
