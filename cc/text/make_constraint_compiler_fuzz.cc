// Whatever a JSON schema says, it is refused in a sentence, or it constrains: some token is always
// allowed, what the mask allows is accepted and what it forbids is not, and an answer that may end
// is JSON.
//
// An input's first byte says what the schema is for: 't' the arguments of a tool that must be
// called, 'h' an answer after thoughts, else an answer. The rest is the schema.

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "cc/text/chat_template.h"
#include "cc/text/fake_tokenizer.h"
#include "cc/text/make_answer_parser.h"
#include "cc/text/make_constraint_compiler.h"
#include "cc/text/token_constraint.h"
#include "nlohmann/json.hpp"

namespace gemma::fuzzing {
namespace {

constexpr int kMostTokens = 200;
constexpr int32_t kStop = 1;

const FakeTokenizer& TheTokenizer() {
  static const auto& tokenizer =
      *new FakeTokenizer({"<bos>", "<turn|>", "<|turn>", "<|think|>", "<|channel>", "<channel|>",
                          "<|tool_call>", "<tool_call|>", "<|\"|>"});
  return tokenizer;
}

const ChatTemplate& Gemma4() {
  static const auto& chat = *new ChatTemplate(*ChatTemplate::Create("gemma4", TheTokenizer()));
  return chat;
}

const ConstraintCompiler& TheCompiler() {
  static const auto& compiler =
      *MakeConstraintCompiler(TheTokenizer(), Gemma4().answer_markers(), {kStop}).release();
  return compiler;
}

OutputFormat FormatOf(absl::string_view bytes) {
  OutputFormat format;
  const std::string schema(bytes.substr(1));
  if (bytes[0] == 't') {
    format.tools = {{.name = "f", .parameters = schema, .strict = true}};
    format.tool_choice = OutputFormat::ToolChoice::kRequired;
  } else {
    format.kind = OutputFormat::Kind::kJsonSchema;
    format.schema = schema;
    format.thinking = bytes[0] == 'h';
  }
  return format;
}

bool Allows(const std::vector<uint32_t>& mask, int32_t id) {
  return (mask[id / 32] >> (id % 32) & 1) != 0;
}

// An allowed token, one that leads to an end where there is one, half of the time.
int32_t Draw(const std::vector<uint32_t>& mask, std::mt19937& random) {
  std::vector<int32_t> allowed, closing;
  for (int32_t id = 0; id < TheTokenizer().vocabulary_size(); ++id) {
    if (!Allows(mask, id)) continue;
    allowed.push_back(id);
    const std::string_view piece = TheTokenizer().Piece(id);
    const bool closes = piece == "<0x22>" || piece == "<0x7D>" || piece == "<0x5D>";
    if (closes || TheTokenizer().Kind(id) == PieceKind::kControl) closing.push_back(id);
  }
  Check(!allowed.empty(), "some token is allowed");
  if (Allows(mask, kStop)) return kStop;
  const std::vector<int32_t>& from = closing.empty() || random() % 2 ? allowed : closing;
  return from[random() % from.size()];
}

void CheckForbidden(const std::vector<uint32_t>& mask, TokenConstraint& constraint,
                    std::mt19937& random) {
  const auto id = static_cast<int32_t>(random() % TheTokenizer().vocabulary_size());
  if (!Allows(mask, id)) Check(!constraint.Accept(id).ok(), "a token that is forbidden is refused");
}

// A whole answer's text is JSON, and so are the arguments of its calls.
void CheckAnswer(const std::vector<int32_t>& ids, bool calls) {
  const auto parser = MakeAnswerParser(TheTokenizer(), &Gemma4());
  std::vector<AnswerEvent> events = *parser->Add(ids);
  for (AnswerEvent& event : parser->Finish()) events.push_back(std::move(event));
  std::string json;
  int ended = 0;
  for (const AnswerEvent& event : events) {
    if (event.kind == (calls ? AnswerEvent::Kind::kToolArguments : AnswerEvent::Kind::kText))
      json += event.text;
    ended += event.kind == AnswerEvent::Kind::kToolCallEnd;
    if (event.kind == AnswerEvent::Kind::kToolCall)
      Check(json.empty() || calls, "a call is asked for");
    if (event.kind == AnswerEvent::Kind::kToolCallEnd) {
      Check(nlohmann::json::parse(json, nullptr, false).is_object(),
            "arguments are an object:", json);
      json.clear();
    }
  }
  Check(!calls || ended > 0, "a call that must come is there");
  if (!calls)
    Check(!nlohmann::json::parse(json, nullptr, false).is_discarded(), "an answer is JSON:", json);
}

void Walk(TokenConstraint& constraint, bool calls, std::mt19937& random) {
  std::vector<uint32_t> mask(MaskWords(TheTokenizer().vocabulary_size()));
  std::vector<int32_t> ids;
  for (int i = 0; i < kMostTokens; ++i) {
    constraint.FillMask(mask);
    if (random() % 8 == 0) CheckForbidden(mask, constraint, random);
    const int32_t id = Draw(mask, random);
    Check(constraint.Accept(id).ok(), "a token that is allowed is accepted");
    if (id == kStop) return CheckAnswer(ids, calls);
    ids.push_back(id);
  }
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  if (bytes.empty()) return false;
  const OutputFormat format = FormatOf(bytes);
  std::mt19937 random(static_cast<uint32_t>(bytes.size()));
  for (int walk = 0; walk < 3; ++walk) {
    const auto constraint = TheCompiler().Compile(format);
    if (!constraint.ok()) {
      CheckRefusal(constraint.status());
      return false;
    }
    Walk(**constraint, bytes[0] == 't', random);
  }
  return true;
}

std::vector<std::string> Seeds() { return {}; }

}  // namespace gemma::fuzzing
