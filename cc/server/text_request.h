// What a client asks for, whatever API it speaks: the parsers of the four APIs fill this struct,
// and what follows them knows no API. Plain data.
#ifndef CC_SERVER_TEXT_REQUEST_H_
#define CC_SERVER_TEXT_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cc/engine/logits_sampler.h"
#include "cc/kernels/sampling_params.h"
#include "cc/text/chat_template.h"
#include "cc/text/token_constraint.h"

namespace gemma::server {

inline constexpr int64_t kMaxChoices = 8;
inline constexpr size_t kMaxStops = 16;
inline constexpr size_t kMaxTools = 128;

// A conversation, a text that goes on as it is, or its token ids.
using Prompt = std::variant<std::vector<Message>, std::string, std::vector<int32_t>>;

struct TextRequest {
  std::string model = {};
  Prompt prompt = {};
  OutputFormat format = {};
  SamplingParams sampling = {};  // the artifact's, changed by what was given
  LogitsChanges changes = {};
  std::vector<std::string> stop = {};
  std::optional<int64_t> max_new_tokens = std::nullopt;  // none: to the context's end
  int64_t choices = 1;
  bool stream = false;
  bool stream_usage = false;  // a chunk with the usage before the end
  bool echo = false;          // the prompt before the text
  // What this API calls the fields that `format` comes from, for messages.
  std::string format_field = "response_format";
  std::string thinking_field = "reasoning_effort";
};

}  // namespace gemma::server

#endif  // CC_SERVER_TEXT_REQUEST_H_
