#include "cc/text/make_answer_parser.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "cc/base/status_macros.h"
#include "cc/text/decoder.h"
#include "cc/text/tool_arguments.h"

namespace gemma {
namespace {

using Kind = AnswerEvent::Kind;

// What follows the opener of a channel; it is not part of the thought.
constexpr std::string_view kThoughtTitle = "thought\n";
constexpr std::string_view kCall = "call:";
constexpr size_t kMaxToolName = 256;  // bytes

// Whether the head of a call, up to its brace, names a function; `name` gets it.
bool IsToolName(const std::string& head, std::string& name) {
  name = std::string(absl::StripAsciiWhitespace(head));
  if (name.starts_with(kCall)) name.erase(0, kCall.size());
  absl::StripAsciiWhitespace(&name);
  const auto of_name = [](unsigned char c) {
    return c >= 0x80 || absl::ascii_isalnum(c) ||
           std::string_view("_-.:/").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !name.empty() && name.size() <= kMaxToolName && std::ranges::all_of(name, of_name);
}

class AnswerStateMachine final : public AnswerParser {
 public:
  AnswerStateMachine(const Tokenizer& tokenizer, const AnswerMarkers& markers, bool in_thought)
      : markers_(markers),
        decoder_(tokenizer, {}),
        place_(in_thought ? Place::kThought : Place::kText) {}

  absl::StatusOr<std::vector<AnswerEvent>> Add(std::span<const int32_t> ids) override {
    for (const int32_t id : ids) {
      if (markers_.Has(id)) {
        AddText(decoder_.Finish());
        AddMarker(id);
        continue;
      }
      GEMMA_ASSIGN_OR_RETURN(const std::string text, decoder_.Add(id));
      AddText(text);
    }
    return std::exchange(events_, {});
  }

  std::vector<AnswerEvent> Finish() override {
    AddText(decoder_.Finish());
    if (place_ == Place::kTitle) EndTitle();
    if (place_ == Place::kCallHead) ReleaseHead();
    return std::exchange(events_, {});
  }

  bool in_text() const override { return place_ == Place::kText || place_ == Place::kNoCall; }

 private:
  enum class Place {
    kText,
    kTitle,  // after the opener of a channel
    kThought,
    kCallHead,  // before the arguments of a call; also after them
    kArguments,
    kNoCall,  // within the markers of a call that is none
  };

  void AddMarker(int32_t id) {
    if (id == markers_.quote) return AddQuote();
    if (place_ == Place::kTitle) EndTitle();
    if (id == markers_.thought_opener && !InCall()) {
      if (place_ == Place::kText) place_ = Place::kTitle;
    } else if (id == markers_.thought_closer && !InCall()) {
      place_ = Place::kText;
    } else if (id == markers_.call_opener && place_ != Place::kArguments) {
      if (place_ == Place::kCallHead) ReleaseHead();
      place_ = Place::kCallHead;
    } else if (id == markers_.call_closer && InCall()) {
      EndCall();
    }
  }

  bool InCall() const {
    return place_ == Place::kCallHead || place_ == Place::kArguments || place_ == Place::kNoCall;
  }

  void AddText(std::string_view text) {
    while (!text.empty()) {
      switch (place_) {
        case Place::kText:
        case Place::kNoCall:
          Emit(Kind::kText, std::exchange(text, {}));
          break;
        case Place::kThought:
          Emit(Kind::kThought, std::exchange(text, {}));
          break;
        case Place::kTitle:
          AddToTitle(text);
          break;
        case Place::kCallHead:
          AddToHead(text);
          break;
        case Place::kArguments:
          Emit(Kind::kToolArguments, arguments_->AddText(text));
          EndArgumentsIfDone();
          break;
      }
    }
  }

  void AddQuote() {
    if (place_ == Place::kCallHead) ReleaseHead();
    if (place_ != Place::kArguments) return;
    Emit(Kind::kToolArguments, arguments_->AddQuote());
  }

  void AddToTitle(std::string_view& text) {
    held_ += text[0];
    text.remove_prefix(1);
    if (held_ == kThoughtTitle || !kThoughtTitle.starts_with(held_)) EndTitle();
  }

  // The title is over: "thought", with or without its line feed, is dropped, anything else was
  // already the thought.
  void EndTitle() {
    const std::string title = std::exchange(held_, {});
    if (title != kThoughtTitle && title + "\n" != kThoughtTitle) Emit(Kind::kThought, title);
    place_ = Place::kThought;
  }

  void AddToHead(std::string_view& text) {
    const size_t brace = text.find('{');
    held_ += text.substr(0, brace);
    text.remove_prefix(std::min(brace, text.size()));
    std::string name;
    if (!text.empty() && IsToolName(held_, name)) {
      held_.clear();
      events_.push_back({Kind::kToolCall, name});
      arguments_.emplace();
      place_ = Place::kArguments;
    } else if (!text.empty() || held_.size() > 2 * kMaxToolName) {
      ReleaseHead();
    }
  }

  // What was held is no call.
  void ReleaseHead() {
    const std::string head = std::exchange(held_, {});
    if (!absl::StripAsciiWhitespace(head).empty()) Emit(Kind::kText, head);
    place_ = Place::kNoCall;
  }

  // After the arguments comes the closer, or another call.
  void EndArgumentsIfDone() {
    if (!arguments_->done()) return;
    events_.push_back({Kind::kToolCallEnd, ""});
    arguments_.reset();
    place_ = Place::kCallHead;
  }

  void EndCall() {
    if (place_ == Place::kCallHead) ReleaseHead();
    if (place_ == Place::kArguments) {
      Emit(Kind::kToolArguments, arguments_->Close());
      EndArgumentsIfDone();
    }
    place_ = Place::kText;
  }

  // Texts that follow one another are one.
  void Emit(Kind kind, std::string_view text) {
    if (text.empty()) return;
    if (events_.empty() || events_.back().kind != kind) events_.push_back({kind, ""});
    events_.back().text += text;
  }

  const AnswerMarkers markers_;
  StreamDecoder decoder_;
  std::vector<AnswerEvent> events_;  // that are certain and not returned yet
  Place place_;
  std::string held_;                        // in kTitle and kCallHead: the beginning of it
  std::optional<ToolArguments> arguments_;  // in kArguments
};

}  // namespace

bool EndsInThought(std::span<const int32_t> ids, const AnswerMarkers& markers) {
  for (size_t i = ids.size(); i-- > 0;) {
    if (ids[i] == markers.thought_opener) return true;
    if (markers.Has(ids[i])) return false;
  }
  return false;
}

std::unique_ptr<AnswerParser> MakeAnswerParser(const Tokenizer& tokenizer, const ChatTemplate* chat,
                                               std::span<const int32_t> prompt) {
  const AnswerMarkers markers = chat == nullptr ? AnswerMarkers() : chat->answer_markers();
  return std::make_unique<AnswerStateMachine>(tokenizer, markers, EndsInThought(prompt, markers));
}

}  // namespace gemma
