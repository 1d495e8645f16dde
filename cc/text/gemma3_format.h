// Gemma 3's chat template:
//
//   <bos><start_of_turn>user\nSYSTEM\n\nHi<end_of_turn>\n<start_of_turn>model\n
//
// The system message is part of the first user message; user and model take turns.
#ifndef CC_TEXT_GEMMA3_FORMAT_H_
#define CC_TEXT_GEMMA3_FORMAT_H_

#include <memory>

#include "cc/text/template_format.h"

namespace gemma {

std::unique_ptr<TemplateFormat> MakeGemma3Format();

}  // namespace gemma

#endif  // CC_TEXT_GEMMA3_FORMAT_H_
