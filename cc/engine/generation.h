// The loop from a prompt to text: prefill, then one token after another until something ends it.
// Text streams out as soon as it is certain:
// whole characters, no stop string, no marker of a thought.
#ifndef CC_ENGINE_GENERATION_H_
#define CC_ENGINE_GENERATION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/engine/engine.h"
#include "cc/engine/session.h"

namespace gemma {

struct GenerationOptions {
  int64_t max_new_tokens = 0;  // at least 1
  SamplingParams sampling = {};
  std::vector<std::string> stop_strings = {};  // beside the manifest's stop ids
  // Tells thoughts from answers by this chat template's markers; none for raw prompts.
  std::optional<std::string> chat_template = std::nullopt;
  // Looked at between tokens; null: never.
  const std::atomic<bool>* cancelled = nullptr;
};

enum class FinishReason { kStopId, kStopString, kMaxNewTokens, kContextFull, kCancelled };

// "stop token", "stop string", "max_new_tokens", "context full", "cancelled".
absl::string_view FinishReasonName(FinishReason reason);

struct GenerationResult {
  FinishReason reason = FinishReason::kStopId;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;       // without the stop token
  std::vector<int32_t> tokens;  // the new tokens
  double prefill_seconds = 0;   // until the first token was drawn
  double decode_seconds = 0;    // for the tokens after the first
  int64_t decode_calls = 0;
};

// What became certain with one token; either part may be empty.
struct GeneratedText {
  std::string answer;
  std::string thought;
};

// Generates from the session's end. `sink` gets every piece of text. An error of the session ends
// everything and is returned; being cancelled is no error.
absl::StatusOr<GenerationResult> Generate(const Engine& engine, Session& session,
                                          std::span<const int32_t> prompt,
                                          const GenerationOptions& options,
                                          const std::function<void(const GeneratedText&)>& sink);

}  // namespace gemma

#endif  // CC_ENGINE_GENERATION_H_
