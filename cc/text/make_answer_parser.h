// The AnswerParser of a chat template, or of text that has none: one state machine over token ids.
//
// Gemma 4 answers in this form, whose markers are special tokens:
//
//   <|channel>thought\n...<channel|>text<|tool_call>call:NAME{ARGUMENTS}<tool_call|>
//
// A marker is known by its id alone, so a text that spells one out is text. Everything outside of
// channels and calls is the answer's text. Where a model errs: a closer without an opener, and an
// opener within a thought, are dropped; a tool call may begin within a thought, which it ends; what
// stands between the markers of a call without being one (no name, no brace) is text; brackets that
// a call leaves open are closed (tool_arguments.h); special tokens of no meaning here are dropped.
#ifndef CC_TEXT_MAKE_ANSWER_PARSER_H_
#define CC_TEXT_MAKE_ANSWER_PARSER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "cc/text/answer_parser.h"
#include "cc/text/chat_template.h"
#include "cc/text/tokenizer.h"

namespace gemma {

// Whether a text that ends with these tokens goes on within a thought, as a prompt may after a
// tool's result.
bool EndsInThought(std::span<const int32_t> ids, const AnswerMarkers& markers);

// `chat`: the template of the conversation, whose markers tell thoughts and tool calls from text;
// null: everything is text. `prompt`: what the answer follows; where it ends within a thought, so
// begins the answer. `tokenizer` must outlive the result, `chat` and `prompt` need not.
std::unique_ptr<AnswerParser> MakeAnswerParser(const Tokenizer& tokenizer, const ChatTemplate* chat,
                                               std::span<const int32_t> prompt = {});

}  // namespace gemma

#endif  // CC_TEXT_MAKE_ANSWER_PARSER_H_
