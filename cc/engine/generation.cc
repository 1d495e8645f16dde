#include "cc/engine/generation.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/check_sampling.h"
#include "cc/text/chat_template.h"
#include "cc/text/decoder.h"
#include "cc/text/stop_matcher.h"
#include "cc/text/thinking_splitter.h"

namespace gemma {
namespace {

// From ids to text that may be shown: characters, then thoughts, then stop strings.
class TextStream {
 public:
  static absl::StatusOr<TextStream> Create(const Engine& engine, const GenerationOptions& options) {
    const Tokenizer* tokenizer = engine.tokenizer();
    if (tokenizer == nullptr) {
      return absl::FailedPreconditionError(
          "the artifact has no tokenizer, so it cannot write text");
    }
    const ManifestTokenizer& entry = *engine.manifest().tokenizer;
    DecodeOptions decoding;
    const bool split = options.chat_template.has_value();
    if (split) {
      GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat,
                             ChatTemplate::Create(*options.chat_template, *tokenizer));
      decoding.keep_control = chat.thought_markers();
    }
    GEMMA_ASSIGN_OR_RETURN(StopMatcher stops,
                           StopMatcher::Create(entry.stop_ids, options.stop_strings));
    TextStream stream(StreamDecoder(*tokenizer, decoding), std::move(stops));
    if (split && !decoding.keep_control.empty()) stream.splitter_.emplace();
    return stream;
  }

  bool IsStopId(int32_t id) const { return stops_.IsStopId(id); }
  bool stopped() const { return stopped_; }

  absl::StatusOr<GeneratedText> Add(int32_t id) {
    GEMMA_ASSIGN_OR_RETURN(std::string text, decoder_.Add(id));
    return Pass(Split(std::move(text)));
  }

  // What was held back.
  GeneratedText Finish() {
    GeneratedText last = Pass(Split(decoder_.Finish()));
    if (splitter_.has_value()) {
      ThinkingSplitter::Text rest = splitter_->Finish();
      GeneratedText end = Pass({std::move(rest.answer), std::move(rest.thought)});
      last.answer += end.answer;
      last.thought += end.thought;
    }
    last.answer += stops_.Finish();
    return last;
  }

 private:
  TextStream(StreamDecoder decoder, StopMatcher stops)
      : decoder_(std::move(decoder)), stops_(std::move(stops)) {}

  GeneratedText Split(std::string text) {
    if (!splitter_.has_value()) return {std::move(text), ""};
    ThinkingSplitter::Text parts = splitter_->Add(text);
    return {std::move(parts.answer), std::move(parts.thought)};
  }

  GeneratedText Pass(GeneratedText text) {
    StopMatcher::Output output = stops_.Add(text.answer);
    stopped_ = stopped_ || output.stopped;
    return {std::move(output.text), std::move(text.thought)};
  }

  StreamDecoder decoder_;
  std::optional<ThinkingSplitter> splitter_;
  StopMatcher stops_;
  bool stopped_ = false;
};

// One run of Generate.
class Generator {
 public:
  Generator(const Engine& engine, Session& session, const GenerationOptions& options,
            TextStream stream, const std::function<void(const GeneratedText&)>& sink)
      : engine_(engine),
        session_(session),
        options_(options),
        stream_(std::move(stream)),
        sink_(sink) {}

  absl::StatusOr<GenerationResult> Run(std::span<const int32_t> prompt) {
    result_.prompt_tokens = static_cast<int64_t>(prompt.size());
    const absl::Status status = RunUntilStopped(prompt);
    if (absl::IsCancelled(status)) {
      result_.reason = FinishReason::kCancelled;
    } else {
      GEMMA_RETURN_IF_ERROR(status);
    }
    Show(stream_.Finish());
    result_.new_tokens = static_cast<int64_t>(result_.tokens.size());
    return std::move(result_);
  }

 private:
  absl::Status RunUntilStopped(std::span<const int32_t> prompt) {
    Stopwatch stopwatch;
    GEMMA_ASSIGN_OR_RETURN(int32_t token, session_.Prefill(prompt, options_.sampling));
    result_.prefill_seconds = stopwatch.Restart();
    while (true) {
      GEMMA_ASSIGN_OR_RETURN(const std::optional<FinishReason> reason, Take(token));
      result_.decode_seconds = stopwatch.Seconds();
      if (reason.has_value()) {
        result_.reason = *reason;
        return absl::OkStatus();
      }
      GEMMA_ASSIGN_OR_RETURN(token, session_.Decode(token, options_.sampling));
      ++result_.decode_calls;
      result_.decode_seconds = stopwatch.Seconds();
    }
  }

  // Shows a drawn token, and says why it is the last one if it is.
  absl::StatusOr<std::optional<FinishReason>> Take(int32_t token) {
    if (stream_.IsStopId(token)) return FinishReason::kStopId;
    result_.tokens.push_back(token);
    GEMMA_ASSIGN_OR_RETURN(const GeneratedText text, stream_.Add(token));
    Show(text);
    if (stream_.stopped()) return FinishReason::kStopString;
    if (static_cast<int64_t>(result_.tokens.size()) >= options_.max_new_tokens)
      return FinishReason::kMaxNewTokens;
    if (options_.cancelled != nullptr && options_.cancelled->load())
      return FinishReason::kCancelled;
    if (session_.position() >= engine_.limits().max_seq_len) return FinishReason::kContextFull;
    return std::nullopt;
  }

  void Show(const GeneratedText& text) {
    if (!text.answer.empty() || !text.thought.empty()) sink_(text);
  }

  const Engine& engine_;
  Session& session_;
  const GenerationOptions& options_;
  TextStream stream_;
  const std::function<void(const GeneratedText&)>& sink_;
  GenerationResult result_;
};

}  // namespace

absl::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopId:
      return "stop token";
    case FinishReason::kStopString:
      return "stop string";
    case FinishReason::kMaxNewTokens:
      return "max_new_tokens";
    case FinishReason::kContextFull:
      return "context full";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

absl::StatusOr<GenerationResult> Generate(const Engine& engine, Session& session,
                                          std::span<const int32_t> prompt,
                                          const GenerationOptions& options,
                                          const std::function<void(const GeneratedText&)>& sink) {
  if (options.max_new_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_new_tokens is ", options.max_new_tokens, " (at least 1 is needed)"));
  }
  GEMMA_RETURN_IF_ERROR(CheckSampling(options.sampling));
  if (!engine.limits().can_generate) {
    return absl::FailedPreconditionError(
        "the artifact has no methods prefill and decode, so it cannot generate");
  }
  GEMMA_ASSIGN_OR_RETURN(TextStream stream, TextStream::Create(engine, options));
  return Generator(engine, session, options, std::move(stream), sink).Run(prompt);
}

}  // namespace gemma
