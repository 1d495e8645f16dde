#include "cc/runner/chat/loop.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cc/base/sizes.h"
#include "cc/base/status_macros.h"
#include "cc/runner/chat/saved_conversation.h"
#include "cc/runner/process_memory.h"

namespace gemma::chat {
namespace {

constexpr size_t kShownBytes = 60;  // of a message that is named

double Speed(int64_t tokens, double seconds) {
  return static_cast<double>(tokens) / std::max(seconds, 1e-9);
}

// The beginning of a text, on one line, for people.
std::string Beginning(const std::string& text) {
  size_t end = std::min(text.size(), kShownBytes);
  while (end > 0 && end < text.size() && (text[end] & 0xc0) == 0x80) --end;  // whole characters
  std::string shown = text.substr(0, end);
  std::replace(shown.begin(), shown.end(), '\n', ' ');
  return absl::StrCat("\"", shown, end < text.size() ? "...\"" : "\"");
}

// Why an answer ended early and what to do; empty where it did not.
std::string CutRemark(const Answer& answer, const Settings& settings, const Engine& engine) {
  switch (answer.result.reason) {
    case FinishReason::kCancelled:
      return answer.result.tokens.empty()
                 ? "(stopped before the answer began; the message is forgotten)"
                 : "(stopped)";
    case FinishReason::kMaxNewTokens:
      return absl::StrCat("(cut at --max_new_tokens ", settings.max_new_tokens,
                          "; /set max_new_tokens N and /regen give it more)");
    case FinishReason::kContextFull:
      return absl::StrCat("(cut: the context of ", engine.limits().max_seq_len,
                          " positions is full; /undo takes the last turn back, /save keeps it all, "
                          "/clear starts a new conversation)");
    default:
      return "";
  }
}

std::string SpeedLine(const Answer& answer) {
  const GenerationResult& result = answer.result;
  return absl::StrFormat("(%d tokens, %.1f tokens/s; prompt of %d tokens, %d of them kept, %.2f s)",
                         result.new_tokens, Speed(result.decode_calls, result.decode_seconds),
                         answer.prompt_tokens, answer.reused_tokens, result.prefill_seconds);
}

}  // namespace

std::string DescribeModel(const Engine& engine) {
  const EngineMemory memory = engine.memory();
  return absl::StrCat(engine.manifest().model_name, " on ", engine.device(), ", context of ",
                      engine.limits().max_seq_len, " tokens, memory: weights ",
                      FormatBytes(memory.weights), ", activations ",
                      FormatBytes(memory.activations), ", this chat ", FormatBytes(memory.session));
}

absl::Status Loop::Run() {
  int64_t inputs = 0, failed = 0;
  while (true) {
    absl::StatusOr<std::optional<std::string>> message = ReadMessage(terminal_);
    if (message.ok() && !message->has_value()) break;
    interrupted_ = false;
    if (message.ok() && (*message)->empty()) continue;
    ++inputs;
    const absl::StatusOr<Input> input =
        message.ok() ? ParseInput(**message) : absl::StatusOr<Input>(message.status());
    if (input.ok() && input->action == Action::kExit) break;
    const absl::Status done = input.ok() ? Act(*input) : input.status();
    if (done.ok()) continue;
    ++failed;
    terminal_.TellError(done.message());
  }
  if (interrupted_) return absl::CancelledError("interrupted");
  if (failed == 0 || terminal_.has_person()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(failed, " of ", inputs, " lines failed; their messages are above"));
}

absl::Status Loop::Act(const Input& input) {
  switch (input.action) {
    case Action::kMessage:
      return Say(input.text);
    case Action::kRegenerate:
      return Regenerate();
    case Action::kUndo:
      return Undo();
    case Action::kSave:
      return Save(input.text);
    case Action::kLoad:
      return Load(input.text);
    case Action::kSet:
      return Set(input.text);
    case Action::kSystem:
      SetSystem(input.text);
      break;
    case Action::kClear:
      Clear();
      break;
    case Action::kStats:
      TellStats();
      break;
    case Action::kHelp:
      terminal_.Tell(HelpText());
      break;
    case Action::kExit:
      break;
  }
  return absl::OkStatus();
}

absl::Status Loop::Say(const std::string& text) {
  GEMMA_ASSIGN_OR_RETURN(
      const Answer answer,
      conversation_.Say(text, settings_, [this](const auto& piece) { Show(piece); }));
  Finish(answer);
  return absl::OkStatus();
}

absl::Status Loop::Regenerate() {
  const std::vector<Message>& messages = conversation_.messages();
  const std::string before = messages.empty() ? "" : messages.back().content;
  ++settings_.sampling.seed;  // else the same draws
  GEMMA_ASSIGN_OR_RETURN(
      const Answer answer,
      conversation_.Regenerate(settings_, [this](const auto& piece) { Show(piece); }));
  Finish(answer);
  if (settings_.sampling.temperature <= 0 && messages.back().content == before) {
    terminal_.Tell(
        "(the same again, since temperature 0 always takes the most likely token; /set temperature "
        "0.7 lets answers differ)");
  }
  return absl::OkStatus();
}

absl::Status Loop::Undo() {
  GEMMA_ASSIGN_OR_RETURN(const std::string text, conversation_.Undo());
  terminal_.Tell(absl::StrCat("(forgot ", Beginning(text), " and its answer)"));
  return absl::OkStatus();
}

absl::Status Loop::Save(const std::string& file) {
  GEMMA_RETURN_IF_ERROR(SaveConversation(conversation_.messages(), options_.user_path(file)));
  terminal_.Tell(absl::StrCat("(wrote ", conversation_.messages().size(), " messages to ", file,
                              "; /load ", file, " goes on with them)"));
  return absl::OkStatus();
}

absl::Status Loop::Load(const std::string& file) {
  GEMMA_ASSIGN_OR_RETURN(std::vector<Message> messages, LoadConversation(options_.user_path(file)));
  terminal_.Tell(absl::StrCat("(read ", messages.size(), " messages from ", file, ")"));
  conversation_.SetMessages(std::move(messages));
  return absl::OkStatus();
}

absl::Status Loop::Set(const std::string& name_and_value) {
  if (!name_and_value.empty()) return ChangeSetting(name_and_value, settings_);
  terminal_.Tell(DescribeSettings(settings_));
  return absl::OkStatus();
}

void Loop::Clear() {
  conversation_.Clear();
  terminal_.Tell(conversation_.system().empty()
                     ? "(a new conversation)"
                     : "(a new conversation, with the same instructions)");
}

void Loop::SetSystem(const std::string& text) {
  if (text == "-") {
    conversation_.SetSystem("");
  } else if (!text.empty()) {
    conversation_.SetSystem(text);
  }
  const std::string system = conversation_.system();
  terminal_.Tell(system.empty() ? "(no instructions)" : absl::StrCat("instructions: ", system));
}

void Loop::TellStats() {
  terminal_.Tell(
      absl::StrFormat("  context  %d of %d tokens\n"
                      "  answers  %d, of %d tokens, %.1f tokens/s\n"
                      "  seed     %d\n"
                      "  memory   %s peak resident",
                      conversation_.held_tokens(), engine_.limits().max_seq_len, answers_,
                      new_tokens_, Speed(decode_calls_, decode_seconds_), settings_.sampling.seed,
                      FormatBytes(PeakResidentBytes())));
}

void Loop::Show(const GeneratedText& text) {
  if (settings_.shows_thoughts && !text.thought.empty()) terminal_.WriteThought(text.thought);
  if (!text.answer.empty()) terminal_.WriteAnswer(text.answer);
}

void Loop::Finish(const Answer& answer) {
  terminal_.EndAnswer();
  ++answers_;
  new_tokens_ += answer.result.new_tokens;
  decode_calls_ += answer.result.decode_calls;
  decode_seconds_ += answer.result.decode_seconds;
  const std::string remark = CutRemark(answer, settings_, engine_);
  if (!remark.empty()) terminal_.Tell(remark);
  if (options_.tells_speed) terminal_.Tell(SpeedLine(answer));
}

}  // namespace gemma::chat
