#include "cc/engine/generation.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/check_sampling.h"
#include "cc/text/chat_template.h"
#include "cc/text/make_answer_parser.h"
#include "cc/text/stop_matcher.h"

namespace gemma {

// How tokens are drawn: by the device, or on the host from its logits.
class Generation::Draw {
 public:
  static absl::StatusOr<std::unique_ptr<Draw>> Create(const Engine& engine,
                                                      std::span<const int32_t> prompt,
                                                      const GenerationOptions& options) {
    auto draw = std::make_unique<Draw>();
    draw->sampling_ = options.sampling;
    draw->constraint_ = options.constraint;
    if (options.changes.IsNone() && options.constraint == nullptr) return draw;
    const int64_t vocab = engine.limits().vocab_size;
    GEMMA_RETURN_IF_ERROR(CheckLogitsChanges(options.changes, vocab));
    std::vector<int32_t> before(options.context.begin(), options.context.end());
    before.insert(before.end(), prompt.begin(), prompt.end());
    GEMMA_ASSIGN_OR_RETURN(draw->sampler_,
                           LogitsSampler::Create(options.sampling, options.changes, vocab, before));
    draw->logits_.resize(static_cast<size_t>(vocab));
    return draw;
  }

  // Appends the end of the prompt, or the token drawn last, and draws the next one.
  absl::StatusOr<DrawnToken> Next(Session& session, std::span<const int32_t> tokens,
                                  bool of_prompt) {
    if (sampler_ != nullptr) {
      GEMMA_RETURN_IF_ERROR(session.Append(tokens, logits_));
      return sampler_->Draw(logits_, session.position(), constraint_);
    }
    GEMMA_ASSIGN_OR_RETURN(const int32_t id, of_prompt ? session.Prefill(tokens, sampling_)
                                                       : session.Decode(tokens[0], sampling_));
    return DrawnToken{.id = id, .logprob = 0, .top = {}};
  }

 private:
  SamplingParams sampling_;
  TokenConstraint* constraint_ = nullptr;
  std::unique_ptr<LogitsSampler> sampler_;  // null: the device draws
  std::vector<float> logits_;
};

// From ids to events that may be shown: parsed, then without what follows a stop string.
class Generation::Text {
 public:
  static absl::StatusOr<std::unique_ptr<Text>> Create(const Engine& engine,
                                                      const GenerationOptions& options) {
    const Tokenizer* tokenizer = engine.tokenizer();
    if (tokenizer == nullptr) {
      return absl::FailedPreconditionError(
          "the artifact has no tokenizer, so it cannot write text");
    }
    std::optional<ChatTemplate> chat;
    if (options.chat_template.has_value()) {
      GEMMA_ASSIGN_OR_RETURN(chat, ChatTemplate::Create(*options.chat_template, *tokenizer));
    }
    GEMMA_ASSIGN_OR_RETURN(
        const StopMatcher stops,
        StopMatcher::Create(engine.manifest().tokenizer->stop_ids, options.stop_strings));
    return absl::WrapUnique(
        new Text(MakeAnswerParser(*tokenizer, chat.has_value() ? &*chat : nullptr), stops));
  }

  bool IsStopId(int32_t id) const { return stops_.IsStopId(id); }
  bool stopped() const { return stopped_; }
  const std::string& stop_string() const { return stops_.found(); }
  bool in_text() const { return parser_->in_text(); }

  absl::StatusOr<std::vector<AnswerEvent>> Add(int32_t id) {
    GEMMA_ASSIGN_OR_RETURN(std::vector<AnswerEvent> events, parser_->Add({&id, 1}));
    return UntilStop(std::move(events));
  }

  // What was held back.
  std::vector<AnswerEvent> Finish() {
    std::vector<AnswerEvent> events = UntilStop(parser_->Finish());
    Release(events);
    return events;
  }

 private:
  Text(std::unique_ptr<AnswerParser> parser, const StopMatcher& stops)
      : parser_(std::move(parser)), fresh_(stops), stops_(stops) {}

  std::vector<AnswerEvent> UntilStop(std::vector<AnswerEvent> events) {
    std::vector<AnswerEvent> shown;
    for (AnswerEvent& event : events) {
      if (stopped_) break;
      if (event.kind != AnswerEvent::Kind::kText) {
        Release(shown);
        shown.push_back(std::move(event));
        continue;
      }
      StopMatcher::Output output = stops_.Add(event.text);
      stopped_ = output.stopped;
      if (!output.text.empty()) shown.push_back({event.kind, std::move(output.text)});
    }
    return shown;
  }

  // A stop string does not reach over a thought or a tool call.
  void Release(std::vector<AnswerEvent>& shown) {
    if (stopped_) return;
    std::string held = stops_.Finish();
    if (!held.empty()) shown.push_back({AnswerEvent::Kind::kText, std::move(held)});
    stops_ = fresh_;
  }

  std::unique_ptr<AnswerParser> parser_;
  const StopMatcher fresh_;
  StopMatcher stops_;
  bool stopped_ = false;
};

Generation::Generation(const Engine& engine, Session& session, std::vector<int32_t> prompt,
                       GenerationOptions options, std::unique_ptr<Draw> draw,
                       std::unique_ptr<Text> text)
    : engine_(engine),
      session_(session),
      prompt_(std::move(prompt)),
      options_(std::move(options)),
      draw_(std::move(draw)),
      text_(std::move(text)) {
  result_.prompt_tokens = static_cast<int64_t>(prompt_.size());
}
Generation::~Generation() = default;

absl::StatusOr<std::unique_ptr<Generation>> Generation::Create(const Engine& engine,
                                                               Session& session,
                                                               std::vector<int32_t> prompt,
                                                               GenerationOptions options) {
  if (options.max_new_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_new_tokens is ", options.max_new_tokens, " (at least 1 is needed)"));
  }
  GEMMA_RETURN_IF_ERROR(CheckSampling(options.sampling));
  if (!engine.limits().can_generate) {
    return absl::FailedPreconditionError(
        "the artifact has no methods prefill and decode, so it cannot generate");
  }
  GEMMA_RETURN_IF_ERROR(CheckRoom(engine.limits(), session.position(), prompt.size()));
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Text> text, Text::Create(engine, options));
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Draw> draw, Draw::Create(engine, prompt, options));
  return absl::WrapUnique(new Generation(engine, session, std::move(prompt), std::move(options),
                                         std::move(draw), std::move(text)));
}

absl::StatusOr<GenerationStep> Generation::Step() {
  absl::StatusOr<GenerationStep> step = StepUnlessCancelled();
  if (!absl::IsCancelled(step.status())) return step;
  GenerationStep last;
  End(FinishReason::kCancelled, last);
  return last;
}

absl::StatusOr<GenerationStep> Generation::StepUnlessCancelled() {
  const Stopwatch stopwatch;
  const bool of_prompt = given_ < prompt_.size();
  const std::span<const int32_t> tokens = NextTokens();
  double& seconds = of_prompt ? result_.prefill_seconds : result_.decode_seconds;
  GenerationStep step;
  if (of_prompt && given_ < prompt_.size()) {
    GEMMA_RETURN_IF_ERROR(session_.Append(tokens, {}));
    seconds += stopwatch.Seconds();
    if (options_.cancelled != nullptr && options_.cancelled->load())
      End(FinishReason::kCancelled, step);
    return step;
  }
  GEMMA_ASSIGN_OR_RETURN(const DrawnToken drawn, draw_->Next(session_, tokens, of_prompt));
  if (!of_prompt) ++result_.decode_calls;
  seconds += stopwatch.Seconds();
  GEMMA_RETURN_IF_ERROR(Take(drawn, step));
  return step;
}

// What the next call of the model gets.
std::span<const int32_t> Generation::NextTokens() {
  if (given_ == prompt_.size()) return std::span(result_.tokens).last(1);
  const int64_t most = engine_.limits().max_prefill_chunk;
  const auto chunk =
      static_cast<size_t>(options_.prompt_chunk > 0 ? std::min(options_.prompt_chunk, most) : most);
  const std::span<const int32_t> left = std::span(prompt_).subspan(given_);
  const std::span<const int32_t> tokens = left.first(std::min(chunk, left.size()));
  given_ += tokens.size();
  return tokens;
}

// Shows a drawn token, and ends where it is the last one.
absl::Status Generation::Take(const DrawnToken& drawn, GenerationStep& step) {
  if (text_->IsStopId(drawn.id)) {
    End(FinishReason::kStopId, step);
    return absl::OkStatus();
  }
  result_.tokens.push_back(drawn.id);
  const bool was_text = text_->in_text();
  GEMMA_ASSIGN_OR_RETURN(step.events, text_->Add(drawn.id));
  step.token = {drawn, was_text && text_->in_text()};
  const std::optional<FinishReason> reason = ReasonToEnd();
  if (reason.has_value()) End(*reason, step);
  return absl::OkStatus();
}

std::optional<FinishReason> Generation::ReasonToEnd() const {
  if (text_->stopped()) return FinishReason::kStopString;
  if (static_cast<int64_t>(result_.tokens.size()) >= options_.max_new_tokens)
    return FinishReason::kMaxNewTokens;
  if (options_.cancelled != nullptr && options_.cancelled->load()) return FinishReason::kCancelled;
  if (session_.position() >= engine_.limits().max_seq_len) return FinishReason::kContextFull;
  return std::nullopt;
}

void Generation::End(FinishReason reason, GenerationStep& step) {
  std::vector<AnswerEvent> held = text_->Finish();
  step.events.insert(step.events.end(), std::make_move_iterator(held.begin()),
                     std::make_move_iterator(held.end()));
  result_.reason = reason;
  if (reason == FinishReason::kStopString) result_.stop_string = text_->stop_string();
  result_.new_tokens = static_cast<int64_t>(result_.tokens.size());
  done_ = true;
}

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
  GEMMA_ASSIGN_OR_RETURN(
      const std::unique_ptr<Generation> generation,
      Generation::Create(engine, session, {prompt.begin(), prompt.end()}, options));
  const auto total = static_cast<int64_t>(prompt.size());
  const auto report = [&] {
    if (options.prompt_progress) options.prompt_progress(generation->prompt_done(), total);
  };
  report();
  while (!generation->done()) {
    const bool of_prompt = generation->prompt_done() < total;
    GEMMA_ASSIGN_OR_RETURN(const GenerationStep step, generation->Step());
    if (of_prompt) report();
    GeneratedText text;
    for (const AnswerEvent& event : step.events)
      (event.kind == AnswerEvent::Kind::kThought ? text.thought : text.answer) += event.text;
    if (!text.answer.empty() || !text.thought.empty()) sink(text);
  }
  return generation->result();
}

}  // namespace gemma
