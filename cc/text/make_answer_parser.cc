#include "cc/text/make_answer_parser.h"

#include <optional>
#include <string>
#include <utility>

#include "cc/base/status_macros.h"
#include "cc/text/decoder.h"
#include "cc/text/thinking_splitter.h"

namespace gemma {
namespace {

// Text and thoughts; tool calls stay text.
class ThinkingParser final : public AnswerParser {
 public:
  ThinkingParser(const Tokenizer& tokenizer, DecodeOptions decoding)
      : decoder_(tokenizer, decoding) {
    if (!decoding.keep_control.empty()) splitter_.emplace();
  }

  absl::StatusOr<std::vector<AnswerEvent>> Add(std::span<const int32_t> ids) override {
    std::vector<AnswerEvent> events;
    for (const int32_t id : ids) {
      GEMMA_ASSIGN_OR_RETURN(std::string text, decoder_.Add(id));
      Split(std::move(text), events);
    }
    return events;
  }

  std::vector<AnswerEvent> Finish() override {
    std::vector<AnswerEvent> events;
    Split(decoder_.Finish(), events);
    if (splitter_.has_value()) Append(splitter_->Finish(), events);
    return events;
  }

  bool in_text() const override { return !splitter_.has_value() || !splitter_->in_thought(); }

 private:
  void Split(std::string text, std::vector<AnswerEvent>& events) {
    Append(splitter_.has_value() ? splitter_->Add(text) : ThinkingSplitter::Text{"", text}, events);
  }

  static void Append(ThinkingSplitter::Text text, std::vector<AnswerEvent>& events) {
    if (!text.thought.empty())
      events.push_back({AnswerEvent::Kind::kThought, std::move(text.thought)});
    if (!text.answer.empty()) events.push_back({AnswerEvent::Kind::kText, std::move(text.answer)});
  }

  StreamDecoder decoder_;
  std::optional<ThinkingSplitter> splitter_;
};

}  // namespace

std::unique_ptr<AnswerParser> MakeAnswerParser(const Tokenizer& tokenizer,
                                               const ChatTemplate* chat) {
  DecodeOptions decoding;
  if (chat != nullptr) decoding.keep_control = chat->thought_markers();
  return std::make_unique<ThinkingParser>(tokenizer, std::move(decoding));
}

}  // namespace gemma
