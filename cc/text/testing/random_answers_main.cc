// Answers of a model that has learned nothing: every token is drawn from random logits, among those
// that a constraint allows.
//
//   random_answers SCHEMAS.json COUNT SEED [tokenizer.bin]
//
// prints COUNT answers, one JSON line each, over all schemas in turn, every other one with thinking:
// {"schema": 3, "thinking": true, "tool": false, "thought": "...", "content": "..."}. Where "tool" is
// true, the schema is that of a function's arguments, and the content those of the call. Without a
// tokenizer every byte is a token.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/bpe_tokenizer.h"
#include "cc/text/chat_template.h"
#include "cc/text/fake_tokenizer.h"
#include "cc/text/make_answer_parser.h"
#include "cc/text/make_constraint_compiler.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kPatience = 300;    // tokens before the logits of what ends a value are raised
constexpr int kMaxTokens = 5000;  // an answer that is longer is a failure

// Draws tokens for one answer.
class RandomModel {
 public:
  RandomModel(const Tokenizer& tokenizer, const std::vector<int32_t>& stop_ids, uint32_t seed)
      : ends_(static_cast<size_t>(tokenizer.vocabulary_size())), random_(seed) {
    for (const int32_t id : stop_ids) ends_[static_cast<size_t>(id)] = true;
    for (const char* piece : {"<channel|>", "<tool_call|>", "<|\"|>"}) {
      if (const int32_t id = tokenizer.ControlId(piece); id >= 0)
        ends_[static_cast<size_t>(id)] = true;
    }
    // "n" begins null, where a schema recurs; ":" ends a bare key of a call's arguments.
    for (const char* text : {"\"", "}", "]", "n", ":"}) {
      const auto ids = tokenizer.Encode(text, {});
      if (ids.ok() && ids->size() == 1) ends_[static_cast<size_t>((*ids)[0])] = true;
    }
  }

  // Gumbel's trick: the greatest of logit + noise is a draw of the softmax.
  int32_t Draw(const std::vector<uint32_t>& mask) {
    std::normal_distribution<double> logits(0, 1);
    std::extreme_value_distribution<double> noise;
    ++drawn_;
    double best = -INFINITY;
    int32_t best_id = -1;
    for (size_t id = 0; id < ends_.size(); ++id) {
      if ((mask[id / 32] >> (id % 32) & 1) == 0) continue;
      const double raised = ends_[id] && drawn_ > kPatience ? 12 : 0;
      const double value = logits(random_) + noise(random_) + raised;
      if (value > best) {
        best = value;
        best_id = static_cast<int32_t>(id);
      }
    }
    return best_id;
  }

 private:
  std::vector<bool> ends_;  // [vocabulary]: stop ids, and what ends strings, keys and brackets
  std::mt19937 random_;
  int drawn_ = 0;
};

struct Setup {
  const Tokenizer& tokenizer;
  const ChatTemplate& chat;
  const ConstraintCompiler& compiler;
  std::vector<int32_t> stop_ids;
};

absl::StatusOr<Json> Answer(const Setup& setup, const OutputFormat& format, uint32_t seed) {
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<TokenConstraint> constraint,
                         setup.compiler.Compile(format));
  const std::unique_ptr<AnswerParser> parser = MakeAnswerParser(setup.tokenizer, &setup.chat);
  RandomModel model(setup.tokenizer, setup.stop_ids, seed);
  std::vector<uint32_t> mask(MaskWords(setup.tokenizer.vocabulary_size()));
  std::vector<AnswerEvent> events;
  for (int drawn = 0;; ++drawn) {
    if (drawn == kMaxTokens) return absl::InternalError("the answer does not end");
    constraint->FillMask(mask);
    const int32_t id = model.Draw(mask);
    GEMMA_RETURN_IF_ERROR(constraint->Accept(id));
    if (std::ranges::find(setup.stop_ids, id) != setup.stop_ids.end()) break;
    GEMMA_ASSIGN_OR_RETURN(const std::vector<AnswerEvent> more, parser->Add({&id, 1}));
    events.insert(events.end(), more.begin(), more.end());
  }
  for (const AnswerEvent& event : parser->Finish()) events.push_back(event);
  std::string thought, content;
  for (const AnswerEvent& event : events) {
    if (event.kind == AnswerEvent::Kind::kToolCall || event.kind == AnswerEvent::Kind::kToolCallEnd)
      continue;
    (event.kind == AnswerEvent::Kind::kThought ? thought : content) += event.text;
  }
  return Json{{"thought", thought}, {"content", content}};
}

OutputFormat FormatOf(const Json& schema, bool thinking, bool tool) {
  OutputFormat format;
  format.thinking = thinking;
  if (tool) {
    format.tools = {{"f", "", schema.dump()}};
    format.tool_choice = OutputFormat::ToolChoice::kRequired;
    format.parallel_tool_calls = false;
  } else {
    format.kind = OutputFormat::Kind::kJsonSchema;
    format.schema = schema.dump();
  }
  return format;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(int argc, char** argv) {
  if (argc > 4) return BpeTokenizer::Load(argv[4]);
  return std::make_unique<FakeTokenizer>(
      std::vector<std::string>{"<bos>", "<eos>", "<|turn>", "<turn|>", "<|think|>", "<|channel>",
                               "<channel|>", "<|tool_call>", "<tool_call|>", "<|\"|>"});
}

absl::Status Run(int argc, char** argv) {
  std::ifstream file(argv[1]);
  const Json schemas =
      Json::parse(std::string(std::istreambuf_iterator<char>(file), {}), nullptr, false);
  if (!schemas.is_array())
    return absl::InvalidArgumentError(absl::StrCat(argv[1], ": not a JSON list"));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, LoadTokenizer(argc, argv));
  GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat, ChatTemplate::Create("gemma4", *tokenizer));
  const std::vector<int32_t> stop_ids = {tokenizer->ControlId("<eos>"),
                                         tokenizer->ControlId("<turn|>")};
  const auto compiler = MakeConstraintCompiler(*tokenizer, chat.answer_markers(), stop_ids);
  const Setup setup = {*tokenizer, chat, *compiler, stop_ids};
  const int count = std::atoi(argv[2]);
  const auto seed = static_cast<uint32_t>(std::atoi(argv[3]));
  for (int i = 0; i < count; ++i) {
    const size_t index = static_cast<size_t>(i) % schemas.size();
    const Json& schema = schemas[index];
    const auto round = static_cast<size_t>(i) / schemas.size();
    const bool thinking = round % 2 == 1;
    const bool tool = round % 4 >= 2 && schema.value("type", Json()) == "object";
    absl::StatusOr<Json> answer =
        Answer(setup, FormatOf(schema, thinking, tool), seed + static_cast<uint32_t>(i));
    if (!answer.ok()) {
      return absl::Status(answer.status().code(),
                          absl::StrCat("schema ", index, ": ", answer.status().message()));
    }
    Json line = {{"schema", index}, {"thinking", thinking}, {"tool", tool}};
    line.update(*answer);
    std::cout << line.dump() << "\n";
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace gemma

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: random_answers SCHEMAS.json COUNT SEED [tokenizer.bin]\n", stderr);
    return 2;
  }
  const absl::Status status = gemma::Run(argc, argv);
  if (status.ok()) return 0;
  std::fputs(absl::StrCat(status.message(), "\n").c_str(), stderr);
  return 1;
}
