#include "cc/text/gemma4_syntax.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/text/utf8.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 64;
constexpr size_t kShownWhat = 200;  // bytes, of whose JSON it is
// Of a schema, in the edition of April never the name of a property.
constexpr std::string_view kSchemaKeys[] = {"description", "type", "properties", "required",
                                            "nullable"};

// The lower case of letters of the Latin, Greek and Cyrillic blocks that scripts of today use.
char32_t Lower(char32_t c) {
  if (c < 0x80) return static_cast<char32_t>(absl::ascii_tolower(static_cast<unsigned char>(c)));
  if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3AB && c != 0x3A2) ||
      (c >= 0x410 && c <= 0x42F)) {
    return c + 0x20;
  }
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;
  if (c >= 0x100 && c <= 0x137 && c != 0x130) return c | 1;
  if (c >= 0x14A && c <= 0x177) return c | 1;
  return c;
}

// Keys compare by their lower case, as `dictsort` has it.
std::u32string SortKey(std::string_view key) {
  std::u32string lower;
  for (size_t at = 0; at < key.size();) {
    const CodePoint character = DecodeCodePoint(key, at);
    lower += character.bytes > 0 ? Lower(character.value) : static_cast<unsigned char>(key[at]);
    at += character.bytes > 0 ? character.bytes : 1;
  }
  return lower;
}

// The members in the order of `dictsort`: equal keys keep theirs.
std::vector<std::pair<std::string, const Json*>> Sorted(const Json& object) {
  std::vector<std::pair<std::u32string, std::pair<std::string, const Json*>>> members;
  for (const auto& [key, value] : object.items()) members.push_back({SortKey(key), {key, &value}});
  std::ranges::stable_sort(members, {}, [](const auto& member) { return member.first; });
  std::vector<std::pair<std::string, const Json*>> sorted;
  for (auto& member : members) sorted.push_back(std::move(member.second));
  return sorted;
}

// As Python's repr writes a float: the shortest digits that give it back, an exponent below 1e-4
// and from 1e16 on.
std::string PythonFloat(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer;
  const double size = std::abs(value);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr;
  std::string text(buffer.data(), end);
  if (fixed && text.find('.') == std::string::npos) text += ".0";
  return text;
}

bool IsTrue(const Json& value) {  // as Python's bool
  if (value.is_null() || value.is_discarded()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

const Json& Member(const Json& value, const char* key) {
  static const auto& none = *new Json();
  if (!value.is_object()) return none;
  const auto found = value.find(key);
  return found == value.end() ? none : *found;
}

// A schema's type in upper case: a text, or as Python prints a list of them.
std::string UpperType(const Json& schema) {
  const Json& type = Member(schema, "type");
  if (type.is_string()) return absl::AsciiStrToUpper(type.get_ref<const std::string&>());
  if (!type.is_array()) return "";
  std::vector<std::string> names;
  for (const Json& name : type)
    names.push_back(absl::StrCat("'", name.is_string() ? name.get<std::string>() : "", "'"));
  return absl::AsciiStrToUpper(absl::StrCat("[", absl::StrJoin(names, ", "), "]"));
}

// Writes one tool's declaration, or the arguments of one call.
class Writer {
 public:
  Writer(std::string name, Gemma4Edition edition, PromptPieces& prompt)
      : name_(std::move(name)), edition_(edition), prompt_(prompt) {}

  void Value(const Json& value, bool quote_keys);
  void Members(const Json& object, bool quote_keys);
  absl::Status Parameters(const Json& parameters);

 private:
  // Parts of one thing with a comma before each but the first.
  class List {
   public:
    explicit List(PromptPieces& prompt) : prompt_(prompt) {}
    void Begin(std::string_view name) {
      if (!std::exchange(first_, false)) prompt_.Text(",");
      prompt_.Text(name);
    }

   private:
    PromptPieces& prompt_;
    bool first_ = true;
  };

  absl::Status Properties(const Json& properties, bool of_schema);
  absl::Status Property(const Json& schema);
  absl::Status Items(const Json& items);
  absl::Status Required(const Json& names);
  absl::Status NotA(std::string_view key, std::string_view kind) const {
    return absl::InvalidArgumentError(absl::StrCat("tool ", Shown(name_), ": \"", std::string(key),
                                                   "\" in its parameters is not ",
                                                   std::string(kind)));
  }

  const std::string name_;
  const Gemma4Edition edition_;
  PromptPieces& prompt_;
};

void Writer::Value(const Json& value, bool quote_keys) {
  if (value.is_null()) {
    prompt_.Text(edition_ == Gemma4Edition::kApril2026 ? "None" : "null");
  } else if (value.is_string()) {
    WriteQuoted(value.get_ref<const std::string&>(), prompt_);
  } else if (value.is_boolean()) {
    prompt_.Text(value.get<bool>() ? "true" : "false");
  } else if (value.is_object()) {
    prompt_.Text("{");
    Members(value, quote_keys);
    prompt_.Text("}");
  } else if (value.is_array()) {
    prompt_.Text("[");
    List list(prompt_);
    for (const Json& item : value) {
      list.Begin("");
      Value(item, quote_keys);
    }
    prompt_.Text("]");
  } else if (value.is_number_float()) {
    prompt_.Text(PythonFloat(value.get<double>()));
  } else {
    prompt_.Text(value.dump());
  }
}

void Writer::Members(const Json& object, bool quote_keys) {
  List list(prompt_);
  for (const auto& [key, value] : Sorted(object)) {
    list.Begin(quote_keys ? "" : key);
    if (quote_keys) WriteQuoted(key, prompt_);
    prompt_.Text(":");
    Value(*value, quote_keys);
  }
}

// The template leaves the closing brace to the type, so without one there is none.
absl::Status Writer::Parameters(const Json& parameters) {
  if (!IsTrue(parameters)) return absl::OkStatus();
  prompt_.Text(",parameters:{");
  if (const Json& properties = Member(parameters, "properties"); IsTrue(properties)) {
    if (!properties.is_object()) return NotA("properties", "an object");
    prompt_.Text("properties:{");
    GEMMA_RETURN_IF_ERROR(Properties(properties, /*of_schema=*/false));
    prompt_.Text("},");
  }
  if (const Json& required = Member(parameters, "required"); IsTrue(required)) {
    prompt_.Text("required:");
    GEMMA_RETURN_IF_ERROR(Required(required));
    prompt_.Text(",");
  }
  if (IsTrue(Member(parameters, "type"))) {
    prompt_.Text("type:");
    WriteQuoted(UpperType(parameters), prompt_);
    prompt_.Text("}");
  }
  return absl::OkStatus();
}

// `of_schema`: these are the keys of a schema without properties, which the template takes for some.
absl::Status Writer::Properties(const Json& properties, bool of_schema) {
  List list(prompt_);
  for (const auto& [key, schema] : Sorted(properties)) {
    const bool filtered = of_schema || edition_ == Gemma4Edition::kApril2026;
    if (filtered && std::ranges::find(kSchemaKeys, key) != std::end(kSchemaKeys)) continue;
    list.Begin(key);
    prompt_.Text(":{");
    GEMMA_RETURN_IF_ERROR(Property(*schema));
    prompt_.Text("}");
  }
  return absl::OkStatus();
}

absl::Status Writer::Property(const Json& schema) {
  List list(prompt_);
  if (const Json& description = Member(schema, "description"); IsTrue(description)) {
    if (!description.is_string()) return NotA("description", "a string");
    list.Begin("description:");
    WriteQuoted(description.get_ref<const std::string&>(), prompt_);
  }
  const std::string type = UpperType(schema);
  if (const Json& values = Member(schema, "enum"); type == "STRING" && IsTrue(values)) {
    list.Begin("enum:");
    Value(values, /*quote_keys=*/true);
  }
  if (const Json& items = Member(schema, "items");
      type == "ARRAY" && items.is_object() && IsTrue(items)) {
    list.Begin("items:{");
    GEMMA_RETURN_IF_ERROR(Items(items));
    prompt_.Text("}");
  }
  if (IsTrue(Member(schema, "nullable"))) list.Begin("nullable:true");
  if (type == "OBJECT") {
    const Json& properties = Member(schema, "properties");
    list.Begin("properties:{");
    GEMMA_RETURN_IF_ERROR(properties.is_object() ? Properties(properties, /*of_schema=*/false)
                                                 : Properties(schema, /*of_schema=*/true));
    prompt_.Text("}");
    if (const Json& required = Member(schema, "required"); IsTrue(required)) {
      list.Begin("required:");
      GEMMA_RETURN_IF_ERROR(Required(required));
    }
  }
  list.Begin("type:");
  WriteQuoted(type, prompt_);
  return absl::OkStatus();
}

absl::Status Writer::Items(const Json& items) {
  List list(prompt_);
  for (const auto& [key, value] : Sorted(items)) {
    if (value->is_null()) continue;
    list.Begin(key);
    prompt_.Text(":");
    if (key == "properties") {
      prompt_.Text("{");
      if (value->is_object()) GEMMA_RETURN_IF_ERROR(Properties(*value, /*of_schema=*/false));
      prompt_.Text("}");
    } else if (key == "required") {
      GEMMA_RETURN_IF_ERROR(Required(*value));
    } else if (key == "type" && value->is_string()) {
      WriteQuoted(UpperType(items), prompt_);
    } else if (key == "type") {
      if (!value->is_array()) return NotA("type", "a string or a list of them");
      Json upper = Json::array();
      for (const Json& name : *value) {
        if (!name.is_string()) return NotA("type", "a string or a list of them");
        upper.push_back(absl::AsciiStrToUpper(name.get_ref<const std::string&>()));
      }
      Value(upper, /*quote_keys=*/true);
    } else {
      Value(*value, /*quote_keys=*/true);
    }
  }
  return absl::OkStatus();
}

absl::Status Writer::Required(const Json& names) {
  if (!names.is_array()) return NotA("required", "a list of names");
  prompt_.Text("[");
  List list(prompt_);
  for (const Json& name : names) {
    if (!name.is_string()) return NotA("required", "a list of names");
    list.Begin("");
    WriteQuoted(name.get_ref<const std::string&>(), prompt_);
  }
  prompt_.Text("]");
  return absl::OkStatus();
}

// The object in a JSON text; null where the text is empty or says so.
absl::StatusOr<Json> ParseObject(const std::string& text, const std::string& what) {
  if (absl::StripAsciiWhitespace(text).empty()) return Json();
  bool too_deep = false;
  const Json::parser_callback_t check_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  Json value = Json::parse(text, check_depth, /*allow_exceptions=*/false);
  if (too_deep) {
    return absl::InvalidArgumentError(absl::StrCat(
        Shown(what, kShownWhat), " are nested deeper than the ", kMaxDepth, " levels allowed"));
  }
  if (!value.is_object() && !value.is_null())
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(what, kShownWhat), " are not a JSON object"));
  return value;
}

}  // namespace

absl::Status WriteDeclaration(const ToolDefinition& tool, Gemma4Edition edition,
                              PromptPieces& prompt) {
  GEMMA_ASSIGN_OR_RETURN(
      const Json parameters,
      ParseObject(tool.parameters, absl::StrCat("tool ", tool.name, ": its parameters")));
  prompt.Text(absl::StrCat("declaration:", tool.name, "{description:"));
  WriteQuoted(tool.description, prompt);
  GEMMA_RETURN_IF_ERROR(Writer(tool.name, edition, prompt).Parameters(parameters));
  prompt.Text("}");
  return absl::OkStatus();
}

absl::Status WriteArguments(const ToolCall& call, Gemma4Edition edition, PromptPieces& prompt) {
  GEMMA_ASSIGN_OR_RETURN(
      const Json arguments,
      ParseObject(call.arguments, absl::StrCat("the arguments of the call of ", call.name)));
  if (arguments.is_object())
    Writer(call.name, edition, prompt).Members(arguments, /*quote_keys=*/false);
  return absl::OkStatus();
}

void WriteQuoted(std::string_view text, PromptPieces& prompt) {
  prompt.Special(kQuoteToken);
  prompt.Text(text);
  prompt.Special(kQuoteToken);
}

}  // namespace gemma
