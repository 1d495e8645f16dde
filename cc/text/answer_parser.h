// AnswerParser: from the token ids that a model draws to what they say: text, thoughts and tool
// calls, as events that are certain, however tokens cut them. The interface that generation and the
// server see; make_answer_parser.h implements it.
//
//   for (const AnswerEvent& event : *parser->Add({&id, 1})) ...
//   for (const AnswerEvent& event : parser->Finish()) ...
//
// Invariants: texts are whole characters; a marker never shows; the events of any tokens are the
// same however they are cut into calls of Add, but for where one text is cut into several.
#ifndef CC_TEXT_ANSWER_PARSER_H_
#define CC_TEXT_ANSWER_PARSER_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace gemma {

struct AnswerEvent {
  enum class Kind {
    kText,           // text: more of the answer
    kThought,        // text: more of the thoughts
    kToolCall,       // text: the name of a function that is called; its arguments follow
    kToolArguments,  // text: more of the arguments, which together are one JSON object
    kToolCallEnd,    // the arguments of the call are complete; text is empty
  };

  Kind kind = Kind::kText;
  std::string text = {};

  bool operator==(const AnswerEvent&) const = default;
};

class AnswerParser {
 public:
  virtual ~AnswerParser() = default;

  // The events that these tokens make certain. InvalidArgument when an id is not in the vocabulary.
  virtual absl::StatusOr<std::vector<AnswerEvent>> Add(std::span<const int32_t> ids) = 0;

  // Ends the answer: what was held back.
  // A tool call that is not complete ends without kToolCallEnd.
  virtual std::vector<AnswerEvent> Finish() = 0;

  // Whether what comes next is text of the answer: not a thought, not a tool call.
  virtual bool in_text() const = 0;
};

}  // namespace gemma

#endif  // CC_TEXT_ANSWER_PARSER_H_
