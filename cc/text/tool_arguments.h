// ToolArguments: the arguments of a tool call from Gemma 4's own syntax to JSON, while they stream.
//
//   {city:<|"|>Paris<|"|>,days:3,tags:[<|"|>a<|"|>]}   ->   {"city":"Paris","days":3,"tags":["a"]}
//
// Keys are bare, a string stands between two quote tokens and has no escapes, numbers, true, false
// and null are JSON's (transformers' and Google's chat template: `format_argument`).
//
// Invariants: what has been returned is the beginning of one JSON object, whatever comes in; once
// done() it is a whole one; a text within quotes is returned as it comes, anything bare when it is
// complete. Since models err, what is not of the syntax is read as far as it makes sense: a bare
// word is a string, a key without a value has null, text between a quote and the next comma belongs
// to the string.
#ifndef CC_TEXT_TOOL_ARGUMENTS_H_
#define CC_TEXT_TOOL_ARGUMENTS_H_

#include <string>
#include <string_view>
#include <vector>

namespace gemma {

class ToolArguments {
 public:
  // The JSON that these whole characters make certain, up to the end of the object. `text` is cut
  // by what was read: it is empty unless done().
  std::string AddText(std::string_view& text);

  // The same for a quote token. Requires !done().
  std::string AddQuote();

  // The call ends here: the JSON that makes the object whole. Empty once done().
  std::string Close();

  // Whether the object has ended. It begins with the first `{`, before which only space may stand.
  bool done() const { return place_ == Place::kDone; }

 private:
  enum class Place {
    kBegin,       // the object's brace comes next
    kKey,         // a key, bare or quoted by ", or the end of an object
    kQuotedKey,   // within quote tokens
    kAfterKey,    // the colon comes next
    kValue,       // a value, or the end of an array
    kBare,        // a number, a word, or a string quoted by "
    kQuoted,      // within quote tokens
    kAfterQuote,  // perhaps the end of the string
    kAfterValue,  // a comma or the end of what the value is in
    kDone,
  };

  void AddByte(char byte);
  void AddToKey(char byte);
  void AddAfterKey(char byte);
  void BeginValue(char byte);
  void AddToBare(char byte);
  void AddAfterQuote(char byte);
  void AddAfterValue(char byte);

  bool EndsValue(char byte) const;
  void OpenObject();
  void OpenArray();
  void CloseInnermost();
  void WriteComma();
  void WriteKey(std::string_view key);
  void WriteEscaped(std::string_view text);
  void EndKeyWithoutValue();
  void EndBare();
  void EndString();

  Place place_ = Place::kBegin;
  std::string open_;              // the brackets that are open, outermost first
  bool first_ = true;             // nothing stands in the innermost bracket yet
  std::string held_;              // the beginning of a key or a bare value, or space after a string
  bool in_ascii_quotes_ = false;  // of held_
  std::string out_;
};

// The text as the inside of a JSON string: quotes, backslashes and control characters are escaped.
std::string JsonEscaped(std::string_view text);

}  // namespace gemma

#endif  // CC_TEXT_TOOL_ARGUMENTS_H_
