// Gemma 4's chat template, in the two forms that Google has published for the larger models:
//
//   <bos><|turn>system\n<|think|>\nSYSTEM<|tool>declaration:...<tool|><turn|>\n
//   <|turn>user\nHi<turn|>\n
//   <|turn>model\n<|channel>thought\nhm\n<channel|><|tool_call>call:f{a:1}<tool_call|>
//       <|tool_response>response:f{value:<|"|>2<|"|>}<tool_response|>text<turn|>\n
//
// (each on one line of its own here). Messages of the model in a row are one turn, a tool's result
// belongs to the call before it, thoughts are kept only after the last message of the user, and
// thoughts within a content are removed.
#ifndef CC_TEXT_GEMMA4_FORMAT_H_
#define CC_TEXT_GEMMA4_FORMAT_H_

#include <memory>

#include "cc/text/gemma4_syntax.h"
#include "cc/text/template_format.h"

namespace gemma {

std::unique_ptr<TemplateFormat> MakeGemma4Format(Gemma4Edition edition);

}  // namespace gemma

#endif  // CC_TEXT_GEMMA4_FORMAT_H_
