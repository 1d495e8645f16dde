// Pieces of OpenAI's answers that its APIs share.
#ifndef CC_SERVER_OPENAI_ANSWER_H_
#define CC_SERVER_OPENAI_ANSWER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/engine/generation.h"
#include "cc/server/answer.h"
#include "cc/server/json_body.h"
#include "cc/text/tokenizer.h"

namespace gemma::server {

// Seconds since 1970.
int64_t UnixTime();

// "stop", "length" or "tool_calls".
std::string OpenAiFinishReason(const Choice& choice);

// {"prompt_tokens", "completion_tokens", "total_tokens", and the details of both}
Json OpenAiUsage(const Answer& answer);

// The bytes that a token writes; one of a character that no token covers is a single byte.
std::string TokenBytes(const Tokenizer& tokenizer, int32_t id);
// The same as text: U+FFFD for a byte that is no character.
std::string TokenText(const Tokenizer& tokenizer, int32_t id);

// [{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob", "bytes"}]}]
Json TokenLogprobs(const Tokenizer& tokenizer, const std::vector<DrawnToken>& tokens);

}  // namespace gemma::server

#endif  // CC_SERVER_OPENAI_ANSWER_H_
