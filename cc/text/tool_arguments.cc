#include "cc/text/tool_arguments.h"

#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

// Whether `held` ends within a string that ASCII quotes opened, after one more byte.
bool StaysInQuotes(const std::string& held, bool in_quotes, char byte) {
  if (byte != '"') return in_quotes;
  if (!in_quotes) return held.empty();  // only a key or value that begins with one
  size_t backslashes = 0;
  while (backslashes < held.size() && held[held.size() - 1 - backslashes] == '\\') ++backslashes;
  return backslashes % 2 == 1;
}

// The value of a JSON scalar; discarded for anything else. nlohmann's parser ends at a zero byte and
// skips a byte order mark, neither of which JSON has.
nlohmann::json Scalar(std::string_view text) {
  const bool is_text =
      text.find('\0') == std::string_view::npos && !text.starts_with("\xEF\xBB\xBF");
  nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!is_text || value.is_structured()) return nlohmann::json(nlohmann::json::value_t::discarded);
  return value;
}

}  // namespace

std::string JsonEscaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      escaped += {'\\', c};
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (c == '\t') {
      escaped += "\\t";
    } else if (c == '\r') {
      escaped += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&escaped, "\\u%04x", static_cast<unsigned char>(c));
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string ToolArguments::AddText(std::string_view& text) {
  while (!text.empty() && !done()) {
    AddByte(text[0]);
    text.remove_prefix(1);
  }
  return std::exchange(out_, {});
}

std::string ToolArguments::AddQuote() {
  switch (place_) {
    case Place::kBegin:
      OpenObject();
      place_ = Place::kQuotedKey;
      break;
    case Place::kKey:  // also after a bare beginning, which is then part of the key
      place_ = Place::kQuotedKey;
      break;
    case Place::kQuotedKey:
      WriteKey(std::exchange(held_, {}));
      place_ = Place::kAfterKey;
      break;
    case Place::kAfterKey:
    case Place::kValue:
      if (place_ == Place::kValue) WriteComma();
      out_ += '"';
      place_ = Place::kQuoted;
      break;
    case Place::kBare:  // a string whose first quote is missing or late
      absl::StrAppend(&out_, "\"", JsonEscaped(std::exchange(held_, {})));
      in_ascii_quotes_ = false;
      place_ = Place::kQuoted;
      break;
    case Place::kQuoted:
      place_ = Place::kAfterQuote;
      break;
    case Place::kAfterQuote:  // the quotes were part of the text
      WriteEscaped(std::exchange(held_, {}));
      place_ = Place::kQuoted;
      break;
    case Place::kAfterValue:
    case Place::kDone:
      break;
  }
  return std::exchange(out_, {});
}

std::string ToolArguments::Close() {
  if (place_ == Place::kBegin) OpenObject();
  if (place_ == Place::kQuotedKey || (place_ == Place::kKey && !held_.empty())) {
    WriteKey(std::string(absl::StripAsciiWhitespace(std::exchange(held_, {}))));
    place_ = Place::kAfterKey;
  }
  if (place_ == Place::kAfterKey) EndKeyWithoutValue();
  if (place_ == Place::kValue && open_.back() == '{') EndKeyWithoutValue();
  if (place_ == Place::kBare) EndBare();
  if (place_ == Place::kQuoted || place_ == Place::kAfterQuote) EndString();
  while (!done()) CloseInnermost();
  return std::exchange(out_, {});
}

void ToolArguments::AddByte(char byte) {
  switch (place_) {
    case Place::kBegin:
      if (byte == '{') OpenObject();
      break;
    case Place::kKey:
      AddToKey(byte);
      break;
    case Place::kQuotedKey:
      held_ += byte;
      break;
    case Place::kAfterKey:
      AddAfterKey(byte);
      break;
    case Place::kValue:
      BeginValue(byte);
      break;
    case Place::kBare:
      AddToBare(byte);
      break;
    case Place::kQuoted:
      WriteEscaped({&byte, 1});
      break;
    case Place::kAfterQuote:
      AddAfterQuote(byte);
      break;
    case Place::kAfterValue:
      AddAfterValue(byte);
      break;
    case Place::kDone:
      break;
  }
}

void ToolArguments::AddToKey(char byte) {
  if (held_.empty() && (absl::ascii_isspace(byte) || byte == ',')) return;
  if (held_.empty() && byte == '}') return CloseInnermost();
  const bool ends = !in_ascii_quotes_ && (byte == ':' || byte == ',' || byte == '}');
  if (!ends) {
    in_ascii_quotes_ = StaysInQuotes(held_, in_ascii_quotes_, byte);
    held_ += byte;
    return;
  }
  const std::string key(absl::StripAsciiWhitespace(std::exchange(held_, {})));
  const nlohmann::json quoted = key.starts_with('"') ? Scalar(key) : nlohmann::json();
  WriteKey(quoted.is_string() ? quoted.get<std::string>() : key);
  place_ = Place::kAfterKey;
  AddAfterKey(byte);
}

void ToolArguments::AddAfterKey(char byte) {
  if (byte == ':') {
    place_ = Place::kValue;
  } else if (byte == ',' || byte == '}') {
    EndKeyWithoutValue();
    AddAfterValue(byte);
  }
}

void ToolArguments::BeginValue(char byte) {
  if (absl::ascii_isspace(byte)) return;
  const bool in_array = open_.back() == '[';
  if (in_array && byte == ',') return;
  if (in_array && byte == ']') return CloseInnermost();
  if (in_array) WriteComma();
  if (byte == '{') return OpenObject();
  if (byte == '[') return OpenArray();
  place_ = Place::kBare;
  AddToBare(byte);
}

void ToolArguments::AddToBare(char byte) {
  if (!in_ascii_quotes_ && EndsValue(byte)) {
    EndBare();
    return AddAfterValue(byte);
  }
  in_ascii_quotes_ = StaysInQuotes(held_, in_ascii_quotes_, byte);
  held_ += byte;
}

void ToolArguments::AddAfterQuote(char byte) {
  if (EndsValue(byte)) {
    EndString();
    return AddAfterValue(byte);
  }
  held_ += byte;
  if (absl::ascii_isspace(byte)) return;
  WriteEscaped(std::exchange(held_, {}));
}

void ToolArguments::AddAfterValue(char byte) {
  if (byte == ',') {
    place_ = open_.back() == '{' ? Place::kKey : Place::kValue;
  } else if (EndsValue(byte)) {
    CloseInnermost();
  }
}

// Whether the byte ends a value that stands in the innermost bracket.
bool ToolArguments::EndsValue(char byte) const {
  return byte == ',' || byte == (open_.back() == '{' ? '}' : ']');
}

void ToolArguments::OpenObject() {
  open_ += '{';
  out_ += '{';
  first_ = true;
  place_ = Place::kKey;
}

void ToolArguments::OpenArray() {
  open_ += '[';
  out_ += '[';
  first_ = true;
  place_ = Place::kValue;
}

void ToolArguments::CloseInnermost() {
  out_ += open_.back() == '{' ? '}' : ']';
  open_.pop_back();
  first_ = false;
  place_ = open_.empty() ? Place::kDone : Place::kAfterValue;
}

// Between two values of an array or two keys of an object.
void ToolArguments::WriteComma() {
  if (open_.back() == '{' && place_ != Place::kKey && place_ != Place::kQuotedKey) return;
  if (!std::exchange(first_, false)) out_ += ',';
}

void ToolArguments::WriteKey(std::string_view key) {
  WriteComma();
  absl::StrAppend(&out_, "\"", JsonEscaped(key), "\":");
  in_ascii_quotes_ = false;
}

void ToolArguments::WriteEscaped(std::string_view text) { out_ += JsonEscaped(text); }

void ToolArguments::EndKeyWithoutValue() {
  out_ += "null";
  place_ = Place::kAfterValue;
}

// A bare value as the JSON that it is, or else as a string. Python's None is what the template of
// spring 2026 writes for null.
void ToolArguments::EndBare() {
  const std::string text(absl::StripAsciiWhitespace(std::exchange(held_, {})));
  in_ascii_quotes_ = false;
  place_ = Place::kAfterValue;
  if (text.empty() || text == "None") {
    out_ += "null";
  } else if (const nlohmann::json value = Scalar(text); value.is_discarded()) {
    absl::StrAppend(&out_, "\"", JsonEscaped(text), "\"");
  } else {
    out_ += text;
  }
}

void ToolArguments::EndString() {
  held_.clear();
  out_ += '"';
  place_ = Place::kAfterValue;
}

}  // namespace gemma
