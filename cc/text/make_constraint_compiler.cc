#include "cc/text/make_constraint_compiler.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/text/check_schema.h"
#include "cc/text/piece_bytes.h"
#include "nlohmann/json.hpp"
#include "xgrammar/xgrammar.h"
#include "xgrammar_messages.h"

namespace gemma {
namespace {

// Keeps the order of properties, in which an answer has them.
using Json = nlohmann::ordered_json;

// XGrammar's grammars are over bytes. A special token that gives an answer its form is one private
// byte to them: a control character that no JSON has, that no other token may contain, and that
// every free text excludes. So text that spells a special token is something else.
constexpr std::string_view kQuote = "\x02";  // also in third_party/xgrammar/extension.bzl
constexpr std::string_view kThought = "\x03";
constexpr std::string_view kThoughtEnd = "\x04";
constexpr std::string_view kCall = "\x05";
constexpr std::string_view kCallEnd = "\x06";
constexpr std::string_view kPrivate = "\x02\x03\x04\x05\x06";

// White space in a row, at most: room for an indent.
constexpr int kMaxWhitespace = 32;

// Whether a text has a control character other than JSON's white space.
bool HasControl(std::string_view text) {
  return std::ranges::any_of(
      text, [](unsigned char c) { return c < 0x20 && c != '\t' && c != '\n' && c != '\r'; });
}

std::vector<std::string> EncodedVocabulary(const Tokenizer& tokenizer,
                                           const AnswerMarkers& markers) {
  std::vector<std::string> bytes(static_cast<size_t>(tokenizer.vocabulary_size()));
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    std::string piece = PieceBytes(tokenizer, id);  // empty: special, allowed nowhere
    if (!HasControl(piece)) bytes[static_cast<size_t>(id)] = std::move(piece);
  }
  const std::pair<int32_t, std::string_view> named[] = {{markers.quote, kQuote},
                                                        {markers.thought_opener, kThought},
                                                        {markers.thought_closer, kThoughtEnd},
                                                        {markers.call_opener, kCall},
                                                        {markers.call_closer, kCallEnd}};
  for (const auto& [id, byte] : named) {
    if (id >= 0) bytes[static_cast<size_t>(id)] = byte;
  }
  return bytes;
}

// The private bytes, but for those in `allowed`.
Json Excludes(std::string_view allowed = "") {
  Json excludes = Json::array();
  for (const char byte : kPrivate) {
    if (allowed.find(byte) == std::string_view::npos) excludes.push_back(std::string(1, byte));
  }
  return excludes;
}

Json AnyText() { return {{"type", "any_text"}, {"excludes", Excludes()}}; }

Json OfSchema(Json schema, std::string_view style) {
  Json format = {{"type", "json_schema"},
                 {"json_schema", std::move(schema)},
                 {"style", std::string(style)},
                 {"max_whitespace_cnt", kMaxWhitespace}};
  return format;
}

Json Tag(std::string_view begin, Json content, std::string_view end) {
  return {{"type", "tag"},
          {"begin", std::string(begin)},
          {"content", std::move(content)},
          {"end", std::string(end)}};
}

absl::StatusOr<Json> ParseSchema(const std::string& text, const std::string& whose) {
  if (text.size() > kMaxSchemaBytes) {
    return absl::InvalidArgumentError(absl::StrCat(whose, " has ", text.size(), " bytes (at most ",
                                                   kMaxSchemaBytes, " are supported)"));
  }
  Json schema = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!schema.is_object())
    return absl::InvalidArgumentError(absl::StrCat(whose, " is not a JSON object"));
  if (const absl::Status status = CheckSchema(nlohmann::json(schema)); !status.ok())
    return absl::InvalidArgumentError(absl::StrCat(whose, ": ", std::string(status.message())));
  return schema;
}

// The schema of a tool's arguments, which are an object.
absl::StatusOr<Json> ArgumentsOf(const ToolDefinition& tool) {
  const Json none = {{"type", "object"}, {"properties", Json::object()}};
  if (tool.parameters.empty()) return none;
  GEMMA_ASSIGN_OR_RETURN(const Json schema,
                         ParseSchema(tool.parameters, absl::StrCat("tool ", tool.name)));
  if (schema.empty()) return none;
  if (!schema.contains("$ref") && schema.value("type", Json("object")) != "object") {
    return absl::InvalidArgumentError(
        absl::StrCat("tool ", tool.name, ": its parameters are not of the type object"));
  }
  return Json(nlohmann::json(schema));  // sorted, as the chat template writes a call
}

// A call of the tool; of its schema, or with any object.
absl::StatusOr<Json> CallOf(const ToolDefinition& tool, bool of_its_schema) {
  Json schema = {{"type", "object"}, {"additionalProperties", true}};
  if (of_its_schema) {
    GEMMA_ASSIGN_OR_RETURN(schema, ArgumentsOf(tool));
  }
  Json content = OfSchema(std::move(schema), "gemma");
  content["excludes"] = Excludes();
  content["any_order"] = false;
  return Tag(absl::StrCat(std::string(kCall), "call:", tool.name), std::move(content), kCallEnd);
}

absl::StatusOr<Json> CallsOf(const OutputFormat& format) {
  Json calls = Json::array();
  for (const ToolDefinition& tool : format.tools) {
    if (format.tool_choice == OutputFormat::ToolChoice::kNamed && tool.name != format.tool_name)
      continue;
    const bool must = format.tool_choice != OutputFormat::ToolChoice::kAuto;
    GEMMA_ASSIGN_OR_RETURN(Json call, CallOf(tool, must || tool.strict));
    calls.push_back(std::move(call));
  }
  if (calls.empty()) {
    return absl::InvalidArgumentError(
        format.tool_name.empty()
            ? "a tool call is required, but there are no tools"
            : absl::StrCat("tool ", Shown(format.tool_name), " is not defined"));
  }
  return calls;
}

// The answer that is no tool call.
absl::StatusOr<Json> ContentOf(const OutputFormat& format) {
  switch (format.kind) {
    case OutputFormat::Kind::kText:
      return AnyText();
    case OutputFormat::Kind::kJsonObject:
      return OfSchema({{"type", "object"}, {"additionalProperties", true}}, "json");
    case OutputFormat::Kind::kJsonSchema: {
      GEMMA_ASSIGN_OR_RETURN(Json schema, ParseSchema(format.schema, "the schema"));
      return OfSchema(std::move(schema), "json");
    }
  }
  return absl::InternalError("unknown kind of an output format");
}

// What comes after the thoughts.
absl::StatusOr<Json> AnswerOf(const OutputFormat& format) {
  using Choice = OutputFormat::ToolChoice;
  if (format.tools.empty() || format.tool_choice == Choice::kNone) return ContentOf(format);
  GEMMA_ASSIGN_OR_RETURN(Json calls, CallsOf(format));
  const bool one = !format.parallel_tool_calls || format.tool_choice == Choice::kNamed;
  if (format.tool_choice == Choice::kAuto && format.kind == OutputFormat::Kind::kText) {
    return Json{{"type", "triggered_tags"},
                {"triggers", Json::array({std::string(kCall)})},
                {"tags", std::move(calls)},
                {"excludes", Excludes(kCall)},
                {"stop_after_first", one}};
  }
  Json called = {{"type", "tags_with_separator"},
                 {"tags", std::move(calls)},
                 {"separator", ""},
                 {"at_least_one", true},
                 {"stop_after_first", one}};
  if (format.tool_choice != Choice::kAuto) return called;
  GEMMA_ASSIGN_OR_RETURN(Json content, ContentOf(format));
  return Json{{"type", "or"}, {"elements", Json::array({std::move(content), std::move(called)})}};
}

absl::StatusOr<std::string> StructuralTag(const OutputFormat& format) {
  GEMMA_ASSIGN_OR_RETURN(Json answer, AnswerOf(format));
  if (format.in_thought || format.thinking) {
    Json thought = Tag(format.in_thought ? "" : absl::StrCat(std::string(kThought), "thought\n"),
                       AnyText(), kThoughtEnd);
    if (!format.in_thought) thought = {{"type", "optional"}, {"content", std::move(thought)}};
    answer = Json{{"type", "sequence"},
                  {"elements", Json::array({std::move(thought), std::move(answer)})}};
  }
  return Json({{"type", "structural_tag"}, {"format", std::move(answer)}}).dump();
}

class GrammarConstraint final : public TokenConstraint {
 public:
  GrammarConstraint(const xgrammar::CompiledGrammar& grammar, std::vector<int32_t> stop_ids)
      : matcher_(grammar), stop_ids_(std::move(stop_ids)) {}

  void FillMask(std::span<uint32_t> mask) override {
    if (matcher_.IsTerminated()) return AllowStopIds(mask);
    int64_t shape = static_cast<int64_t>(mask.size());
    DLTensor tensor = {};
    tensor.data = mask.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 1;
    tensor.dtype = xgrammar::GetBitmaskDLType();
    tensor.shape = &shape;
    if (!matcher_.FillNextTokenBitmask(&tensor)) std::ranges::fill(mask, ~0u);
    // A vocabulary that cannot go on: whatever is drawn, Accept says so.
    if (std::ranges::all_of(mask, [](uint32_t word) { return word == 0; })) AllowStopIds(mask);
  }

  absl::Status Accept(int32_t id) override {
    const bool ended =
        matcher_.IsTerminated() && std::ranges::find(stop_ids_, id) != stop_ids_.end();
    if (ended || (!matcher_.IsTerminated() && matcher_.AcceptToken(id))) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("token ", id, " is not one that the answer's form allows here"));
  }

 private:
  void AllowStopIds(std::span<uint32_t> mask) const {
    std::ranges::fill(mask, 0u);
    for (const int32_t id : stop_ids_) mask[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
  }

  xgrammar::GrammarMatcher matcher_;
  const std::vector<int32_t> stop_ids_;
};

std::string SentenceOf(const xgrammar::StructuralTagError& error) {
  return std::visit([](const auto& of_a_kind) { return std::string(of_a_kind.what()); }, error);
}

class GrammarConstraintCompiler final : public ConstraintCompiler {
 public:
  GrammarConstraintCompiler(const std::vector<std::string>& vocabulary,
                            const AnswerMarkers& markers, const std::vector<int32_t>& stop_ids)
      : markers_(markers),
        stop_ids_(stop_ids),
        tokenizer_(vocabulary, xgrammar::VocabType::RAW, std::nullopt, stop_ids),
        compiler_(tokenizer_, /*max_threads=*/2, /*cache_enabled=*/true, kCacheBytes) {}

  absl::StatusOr<std::unique_ptr<TokenConstraint>> Compile(
      const OutputFormat& format) const override {
    GEMMA_RETURN_IF_ERROR(CheckMarkers(format));
    GEMMA_ASSIGN_OR_RETURN(const std::string tag, StructuralTag(format));
    try {
      return CompileTag(tag);
    } catch (const std::exception& error) {
      xgrammar_messages::TakeWarnings();
      return Refuse(xgrammar_messages::WithoutPlace(error));
    }
  }

 private:
  static constexpr int64_t kCacheBytes = 256 << 20;

  static constexpr size_t kShownReason = 300;  // of XGrammar's reason, which may quote a schema

  static absl::Status Refuse(std::string_view reason) {
    return absl::InvalidArgumentError(
        absl::StrCat("the answer's form is not supported: ",
                     Shown(reason.substr(0, reason.find('\n')), kShownReason)));
  }

  absl::Status CheckMarkers(const OutputFormat& format) const {
    const bool thinks = format.thinking || format.in_thought;
    if (thinks && (markers_.thought_opener < 0 || markers_.thought_closer < 0))
      return absl::InvalidArgumentError("the chat template has no thoughts (switch thinking off)");
    const bool calls =
        !format.tools.empty() && format.tool_choice != OutputFormat::ToolChoice::kNone;
    if (calls && (markers_.call_opener < 0 || markers_.call_closer < 0 || markers_.quote < 0))
      return absl::InvalidArgumentError("the chat template has no tool calls (leave tools away)");
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<TokenConstraint>> CompileTag(const std::string& tag) const {
    xgrammar_messages::TakeWarnings();
    const auto made = xgrammar::Grammar::FromStructuralTag(tag, tokenizer_);
    const std::vector<std::string> warnings = xgrammar_messages::TakeWarnings();
    if (std::holds_alternative<xgrammar::StructuralTagError>(made))
      return Refuse(SentenceOf(std::get<xgrammar::StructuralTagError>(made)));
    if (!warnings.empty()) return Refuse(warnings.front());
    return std::make_unique<GrammarConstraint>(
        compiler_.CompileGrammar(std::get<xgrammar::Grammar>(made)), stop_ids_);
  }

  const AnswerMarkers markers_;
  const std::vector<int32_t> stop_ids_;
  const xgrammar::TokenizerInfo tokenizer_;
  mutable xgrammar::GrammarCompiler compiler_;  // any number of threads may use it
};

}  // namespace

std::unique_ptr<ConstraintCompiler> MakeConstraintCompiler(const Tokenizer& tokenizer,
                                                           const AnswerMarkers& markers,
                                                           const std::vector<int32_t>& stop_ids) {
  return std::make_unique<GrammarConstraintCompiler>(EncodedVocabulary(tokenizer, markers), markers,
                                                     stop_ids);
}

}  // namespace gemma
