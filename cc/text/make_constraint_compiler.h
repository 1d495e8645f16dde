// The ConstraintCompiler of a tokenizer: JSON schemas, JSON mode and tool calls as grammars, which
// XGrammar turns into masks of tokens.
//
// Where thinking is allowed, one thought may come first, and the grammar begins after it. Tool
// calls have Gemma 4's syntax, and arguments of the tool's own schema where the call must come or the
// tool is strict, else any object. An answer of a schema has no
// properties and items beyond those that the schema names. A special token is allowed exactly where
// the answer's form has one; text that spells one is text.
//
// What a schema says and the grammars cannot enforce is an error that names it, never left out.
#ifndef CC_TEXT_MAKE_CONSTRAINT_COMPILER_H_
#define CC_TEXT_MAKE_CONSTRAINT_COMPILER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "cc/text/chat_template.h"
#include "cc/text/token_constraint.h"
#include "cc/text/tokenizer.h"

namespace gemma {

// `markers`: of the chat template that the answers follow. `stop_ids`: which an answer ends with.
// Nothing may outlive its compiler, which needs `tokenizer` no longer than this call.
std::unique_ptr<ConstraintCompiler> MakeConstraintCompiler(const Tokenizer& tokenizer,
                                                           const AnswerMarkers& markers,
                                                           const std::vector<int32_t>& stop_ids);

}  // namespace gemma

#endif  // CC_TEXT_MAKE_CONSTRAINT_COMPILER_H_
