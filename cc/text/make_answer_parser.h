// The AnswerParser of a chat template, or of text that has none.
#ifndef CC_TEXT_MAKE_ANSWER_PARSER_H_
#define CC_TEXT_MAKE_ANSWER_PARSER_H_

#include <memory>

#include "cc/text/answer_parser.h"
#include "cc/text/chat_template.h"
#include "cc/text/tokenizer.h"

namespace gemma {

// `chat`: the template of the conversation, whose markers tell thoughts (and tool calls) from text;
// null: everything is text. `tokenizer` must outlive the result, `chat` need not.
std::unique_ptr<AnswerParser> MakeAnswerParser(const Tokenizer& tokenizer,
                                               const ChatTemplate* chat);

}  // namespace gemma

#endif  // CC_TEXT_MAKE_ANSWER_PARSER_H_
