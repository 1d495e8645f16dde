// From a prompt to text: prefill, then one token after another until something ends it. Text
// streams out as soon as it is certain: whole characters, no stop string, no marker of a thought.
//
// Generate runs all of it; a Generation is the same by steps, one call of the model each, for
// callers that take turns between several.
#ifndef CC_ENGINE_GENERATION_H_
#define CC_ENGINE_GENERATION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/engine/engine.h"
#include "cc/engine/logits_sampler.h"
#include "cc/engine/session.h"
#include "cc/text/answer_parser.h"
#include "cc/text/token_constraint.h"

namespace gemma {

// Tokens of the prompt that the session has, and those that there are: before the first call of the
// model, and after each that takes some.
using PromptProgress = std::function<void(int64_t done, int64_t total)>;

struct GenerationOptions {
  int64_t max_new_tokens = 0;  // at least 1
  SamplingParams sampling = {};
  std::vector<std::string> stop_strings = {};  // beside the manifest's stop ids
  // Tells thoughts and tool calls from answers by this
  // chat template's markers; none for raw prompts.
  std::optional<std::string> chat_template = std::nullopt;
  // Looked at between tokens; null: never.
  const std::atomic<bool>* cancelled = nullptr;
  // What only a draw on the host can do; without any of it, the device draws.
  LogitsChanges changes = {};
  TokenConstraint* constraint = nullptr;  // of this answer; null: none
  // What the session holds already, which repetition_penalty counts as well.
  std::span<const int32_t> context = {};
  // Tokens of the prompt that a step takes; 0: as many as a call of the model does.
  int64_t prompt_chunk = 0;
  PromptProgress prompt_progress = {};  // of Generate
};

enum class FinishReason { kStopId, kStopString, kMaxNewTokens, kContextFull, kCancelled };

// "stop token", "stop string", "max_new_tokens", "context full", "cancelled".
absl::string_view FinishReasonName(FinishReason reason);

struct GenerationResult {
  FinishReason reason = FinishReason::kStopId;
  std::string stop_string = {};  // of kStopString
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;       // without the stop token
  std::vector<int32_t> tokens;  // the new tokens
  double prefill_seconds = 0;   // until the first token was drawn
  double decode_seconds = 0;    // for the tokens after the first
  int64_t decode_calls = 0;
};

struct GeneratedToken {
  DrawnToken drawn;
  bool is_text = false;  // part of the answer's text: no thought, tool call or marker
};

// What one step brought.
struct GenerationStep {
  std::vector<AnswerEvent> events = {};
  std::optional<GeneratedToken> token = std::nullopt;  // none for a part of the prompt or a stop id
};

class Generation {
 public:
  // Generates from the session's end. Engine, session and the options' pointers must outlive the
  // result. InvalidArgument for options that are out of range, FailedPrecondition for an artifact
  // that cannot generate text.
  static absl::StatusOr<std::unique_ptr<Generation>> Create(const Engine& engine, Session& session,
                                                            std::vector<int32_t> prompt,
                                                            GenerationOptions options);
  ~Generation();

  // One call of the model: the next chunk of the prompt, or one token. An error of the session ends
  // everything; being cancelled is no error. Requires !done().
  absl::StatusOr<GenerationStep> Step();

  bool done() const { return done_; }
  // Tokens of the prompt that the session has.
  int64_t prompt_done() const { return static_cast<int64_t>(given_); }
  // Complete once done().
  const GenerationResult& result() const { return result_; }

 private:
  class Draw;
  class Text;

  Generation(const Engine& engine, Session& session, std::vector<int32_t> prompt,
             GenerationOptions options, std::unique_ptr<Draw> draw, std::unique_ptr<Text> text);

  absl::StatusOr<GenerationStep> StepUnlessCancelled();
  absl::Status Take(const DrawnToken& drawn, GenerationStep& step);
  std::optional<FinishReason> ReasonToEnd() const;
  void End(FinishReason reason, GenerationStep& step);
  std::span<const int32_t> NextTokens();

  const Engine& engine_;
  Session& session_;
  const std::vector<int32_t> prompt_;
  const GenerationOptions options_;
  const std::unique_ptr<Draw> draw_;
  const std::unique_ptr<Text> text_;
  size_t given_ = 0;  // tokens of the prompt that the session has
  GenerationResult result_;
  bool done_ = false;
};

// What became certain with one token; either part may be empty.
struct GeneratedText {
  std::string answer;
  std::string thought;
};

// All steps. `sink` gets every piece of text; a tool call, of which only a client with tools makes
// sense, is text here.
absl::StatusOr<GenerationResult> Generate(const Engine& engine, Session& session,
                                          std::span<const int32_t> prompt,
                                          const GenerationOptions& options,
                                          const std::function<void(const GeneratedText&)>& sink);

}  // namespace gemma

#endif  // CC_ENGINE_GENERATION_H_
