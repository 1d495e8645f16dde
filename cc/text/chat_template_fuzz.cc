// Whatever a conversation says, a template refuses it in a sentence, or renders it so that only the
// template makes special tokens: what users, tools and the system say changes no token but those of
// its own text.
//
// An input is records that end with byte 30. The first one names the template, '3', '4' or 'a'
// (gemma4_april), and says 't' for thinking and 'n' for no opening of an answer. Each other begins
// with what it is:
//   s, u, m  what the system, the user or the model says
//   r        the thoughts of the message before it
//   c        a call of the message before it: its name, a newline, its arguments
//   t        a tool's result
//   d        a tool: its name, a newline, its parameters

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "build/fuzzing/harness.h"
#include "cc/text/chat_template.h"
#include "cc/text/fake_tokenizer.h"

namespace gemma::fuzzing {
namespace {

constexpr char kRecordEnd = 30;

const FakeTokenizer& TheTokenizer() {
  static const auto& tokenizer =
      *new FakeTokenizer({"<bos>", "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>",
                          "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
                          "<tool_response|>", "<|\"|>", "<start_of_turn>", "<end_of_turn>"});
  return tokenizer;
}

struct Conversation {
  std::string chat_template = "gemma4";
  std::vector<Message> messages;
  ChatOptions options;
};

void AddRecord(char kind, std::string text, Conversation& conversation) {
  std::vector<Message>& messages = conversation.messages;
  const std::vector<std::string> halves = absl::StrSplit(text, absl::MaxSplits('\n', 1));
  const std::string rest = halves.size() > 1 ? halves[1] : "";
  switch (kind) {
    case 's':
      messages.push_back({Role::kSystem, std::move(text)});
      break;
    case 'u':
      messages.push_back({Role::kUser, std::move(text)});
      break;
    case 'm':
      messages.push_back({Role::kModel, std::move(text)});
      break;
    case 't':
      messages.push_back({.role = Role::kTool, .content = std::move(text), .tool_call_id = "0"});
      break;
    case 'r':
      if (!messages.empty()) messages.back().reasoning = std::move(text);
      break;
    case 'c':
      if (!messages.empty())
        messages.back().tool_calls.push_back(
            {std::to_string(messages.back().tool_calls.size()), halves[0], rest});
      break;
    case 'd':
      conversation.options.tools.push_back({halves[0], "does " + halves[0], rest});
      break;
    default:
      break;
  }
}

Conversation ReadConversation(std::string_view bytes) {
  Conversation conversation;
  const std::vector<std::string> records = absl::StrSplit(bytes, kRecordEnd);
  const std::string& head = records[0];
  if (head.starts_with('3')) conversation.chat_template = "gemma3";
  if (head.starts_with('a')) conversation.chat_template = "gemma4_april";
  conversation.options.thinking = head.find('t') != std::string::npos;
  conversation.options.add_generation_prompt = head.find('n') == std::string::npos;
  for (size_t i = 1; i < records.size(); ++i) {
    if (!records[i].empty()) AddRecord(records[i][0], records[i].substr(1), conversation);
  }
  return conversation;
}

std::vector<std::string> Specials(const std::vector<PromptPiece>& pieces) {
  std::vector<std::string> specials;
  for (const PromptPiece& piece : pieces) {
    if (piece.special) specials.push_back(piece.text);
  }
  return specials;
}

void CheckPieces(const std::vector<PromptPiece>& pieces) {
  Check(!pieces.empty() && pieces[0] == PromptPiece{true, "<bos>"}, "a prompt begins with BOS");
  for (size_t i = 1; i < pieces.size(); ++i) {
    Check(pieces[i].special || pieces[i - 1].special, "no two texts are neighbours");
    Check(pieces[i].special || !pieces[i].text.empty(), "no text is empty");
    Check(!pieces[i].special || TheTokenizer().ControlId(pieces[i].text) > 0,
          "BOS comes once, others are known");
  }
}

// The special tokens among the ids are the special pieces, in order.
void CheckIds(const std::vector<int32_t>& ids, const std::vector<std::string>& specials) {
  std::vector<std::string> found;
  for (const int32_t id : ids) {
    if (TheTokenizer().Kind(id) == PieceKind::kControl)
      found.emplace_back(TheTokenizer().Piece(id));
  }
  Check(found == specials, "only special pieces become special tokens");
}

void Disarm(std::string& text) { std::ranges::replace(text, '<', '('); }

// The conversation without any `<` in what others than the model say.
Conversation Disarmed(Conversation conversation) {
  for (Message& message : conversation.messages) {
    if (message.role != Role::kModel) Disarm(message.content);
    Disarm(message.reasoning);
  }
  return conversation;
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  const Conversation conversation = ReadConversation({bytes.data(), bytes.size()});
  const auto chat = ChatTemplate::Create(conversation.chat_template, TheTokenizer());
  Check(chat.ok(), "the template is known");
  const auto pieces = chat->Render(conversation.messages, conversation.options);
  const auto ids = chat->Encode(conversation.messages, conversation.options);
  const Conversation disarmed = Disarmed(conversation);
  const auto harmless = chat->Render(disarmed.messages, disarmed.options);
  Check(harmless.ok() == pieces.ok(), "what is said does not decide whether it can be rendered");
  if (!pieces.ok()) {
    CheckRefusal(pieces.status());
    Check(!ids.ok(), "what is not rendered has no tokens");
    return false;
  }
  CheckPieces(*pieces);
  Check(Specials(*pieces) == Specials(*harmless), "what is said makes no special token");
  if (ids.ok()) {
    CheckIds(*ids, Specials(*pieces));
  } else {
    CheckRefusal(ids.status());  // texts that are not UTF-8
  }
  return ids.ok();
}

std::vector<std::string> Seeds() { return {}; }

}  // namespace gemma::fuzzing
