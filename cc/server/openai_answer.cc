#include "cc/server/openai_answer.h"

#include <ctime>

#include "absl/strings/str_replace.h"
#include "cc/text/utf8.h"

namespace gemma::server {
namespace {

constexpr char kWrittenSpace[] = "\xE2\x96\x81";

Json OneLogprob(const Tokenizer& tokenizer, int32_t id, float logprob) {
  Json bytes = Json::array();
  for (const char byte : TokenBytes(tokenizer, id)) bytes.push_back(static_cast<uint8_t>(byte));
  return {{"token", TokenText(tokenizer, id)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

int64_t UnixTime() { return static_cast<int64_t>(std::time(nullptr)); }

std::string OpenAiFinishReason(const Choice& choice) {
  if (choice.is_cut()) return "length";
  return choice.calls_tools() ? "tool_calls" : "stop";
}

Json OpenAiUsage(const Answer& answer) {
  const int64_t written = answer.completion_tokens();
  return {{"prompt_tokens", answer.prompt_tokens},
          {"completion_tokens", written},
          {"total_tokens", answer.prompt_tokens + written},
          {"prompt_tokens_details", {{"cached_tokens", answer.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", answer.reasoning_tokens}}}};
}

std::string TokenBytes(const Tokenizer& tokenizer, int32_t id) {
  const std::string piece(tokenizer.Piece(id));
  if (tokenizer.Kind(id) != PieceKind::kByte)
    return absl::StrReplaceAll(piece, {{kWrittenSpace, " "}});
  const auto digit = [](char hex) { return hex <= '9' ? hex - '0' : hex - 'A' + 10; };
  return {static_cast<char>(digit(piece[3]) << 4 | digit(piece[4]))};
}

std::string TokenText(const Tokenizer& tokenizer, int32_t id) {
  const std::string bytes = TokenBytes(tokenizer, id);
  return ValidUtf8Prefix(bytes) == bytes.size() ? bytes : std::string(kReplacementCharacter);
}

Json TokenLogprobs(const Tokenizer& tokenizer, const std::vector<DrawnToken>& tokens) {
  Json entries = Json::array();
  for (const DrawnToken& token : tokens) {
    Json entry = OneLogprob(tokenizer, token.id, token.logprob);
    entry["top_logprobs"] = Json::array();
    for (const TokenLogprob& top : token.top)
      entry["top_logprobs"].push_back(OneLogprob(tokenizer, top.id, top.logprob));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace gemma::server
