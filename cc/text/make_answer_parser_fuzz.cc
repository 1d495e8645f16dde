// Whatever tokens a model draws, the answer parser tells the same events in one piece as in any
// cuts: whole characters, arguments that belong to a call, and one JSON object where a call is
// complete.
//
// An input's first byte says how the answer begins: '3' without a template, 't' within a thought,
// else as Gemma 4's. The rest is the answer: a marker as it is spelled is its token, any other byte
// is the token of that byte. Byte 1 before a marker makes it text.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "build/fuzzing/harness.h"
#include "cc/text/decoder.h"
#include "cc/text/fake_gemma4.h"
#include "cc/text/make_answer_parser.h"
#include "cc/text/stop_matcher.h"
#include "cc/text/utf8.h"
#include "nlohmann/json.hpp"

namespace gemma::fuzzing {
namespace {

using Kind = AnswerEvent::Kind;
using Events = std::vector<AnswerEvent>;

constexpr char kLiteral = 1;

std::vector<int32_t> TokensOf(std::string_view text) {
  std::vector<int32_t> ids;
  while (!text.empty()) {
    int32_t special = -1;
    for (size_t id = 0; id < kFakeSpecials.size(); ++id) {
      if (text.starts_with(kFakeSpecials[id])) special = static_cast<int32_t>(id);
    }
    if (special < 0 && text[0] == kLiteral && text.size() > 1) text.remove_prefix(1);
    ids.push_back(special >= 0
                      ? special
                      : static_cast<int32_t>(kFakeSpecials.size()) + static_cast<uint8_t>(text[0]));
    text.remove_prefix(special >= 0 ? kFakeSpecials[special].size() : 1);
  }
  return ids;
}

std::unique_ptr<AnswerParser> MakeParser(char begin) {
  if (begin == '3') return MakeAnswerParser(TheTokenizer(), nullptr);
  if (begin != 't') return MakeAnswerParser(TheTokenizer(), &Gemma4());
  return MakeAnswerParser(TheTokenizer(), &Gemma4(), TokensOf("<|turn>model\n<|channel>thought\n"));
}

// Neighbouring texts are joined, since where they are cut depends on the cuts.
void Append(const Events& events, Events& all) {
  for (const AnswerEvent& event : events) {
    Check(ValidUtf8Prefix(event.text) == event.text.size(), "a text is whole characters");
    const bool one_text = event.kind != Kind::kToolCall && event.kind != Kind::kToolCallEnd;
    if (one_text && !all.empty() && all.back().kind == event.kind) {
      all.back().text += event.text;
    } else {
      all.push_back(event);
    }
  }
}

// In pieces of 1 to `most` tokens.
Events Parse(char begin, std::span<const int32_t> ids, size_t most, std::mt19937& random) {
  const auto parser = MakeParser(begin);
  Events all;
  while (!ids.empty()) {
    const size_t count = std::min(ids.size(), 1 + random() % most);
    const absl::StatusOr<Events> events = parser->Add(ids.first(count));
    Check(events.ok(), "tokens of the vocabulary can be added");
    Append(*events, all);
    ids = ids.subspan(count);
  }
  Append(parser->Finish(), all);
  return all;
}

void CheckCalls(const Events& events) {
  bool in_call = false;
  std::string arguments;
  for (const AnswerEvent& event : events) {
    if (event.kind == Kind::kToolCall) {
      Check(!event.text.empty(), "a call has a name");
      in_call = true;
      arguments.clear();
    } else if (event.kind == Kind::kToolArguments) {
      Check(in_call, "arguments are of a call");
      arguments += event.text;
    } else if (event.kind == Kind::kToolCallEnd) {
      Check(in_call, "a call begins before it ends");
      Check(nlohmann::json::parse(arguments, nullptr, false).is_object(),
            "arguments are an object:", arguments);
      in_call = false;
    } else {
      in_call = false;
    }
  }
}

// The answer's texts end at the same stop string, wherever they are cut.
std::string Stopped(const std::string& text, size_t most, std::mt19937& random) {
  StopMatcher matcher = *StopMatcher::Create({}, {"aab", "ab", "\n\n", "<|channel>", "}"});
  std::string shown;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t count = std::min(rest.size(), 1 + random() % most);
    const StopMatcher::Output output = matcher.Add(rest.substr(0, count));
    shown += output.text;
    if (output.stopped) return shown + "|" + matcher.found();
    rest.remove_prefix(count);
  }
  return shown + matcher.Finish();
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  if (bytes.empty()) return false;
  const std::vector<int32_t> ids = TokensOf(std::string_view(bytes.data(), bytes.size()).substr(1));
  std::mt19937 random(static_cast<uint32_t>(bytes.size()));
  const Events whole = Parse(bytes[0], ids, ids.size() + 1, random);
  CheckCalls(whole);
  for (const size_t most : {1, 2, 5})
    Check(Parse(bytes[0], ids, most, random) == whole, "any cuts give the same events");
  std::string text;
  for (const AnswerEvent& event : whole) text += event.kind == Kind::kText ? event.text : "";
  if (bytes[0] == '3') {
    StreamDecoder decoder(TheTokenizer(), {});
    std::string decoded;
    for (const int32_t id : ids) decoded += *decoder.Add(id);
    Check(decoded + decoder.Finish() == text, "without a template everything is text");
  }
  Check(Stopped(text, text.size() + 1, random) == Stopped(text, 3, random),
        "any cuts stop at the same place");
  return true;
}

std::vector<std::string> Seeds() { return {}; }

}  // namespace gemma::fuzzing
