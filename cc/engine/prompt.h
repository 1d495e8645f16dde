// From what a user writes to the token ids that a session begins with.
#ifndef CC_ENGINE_PROMPT_H_
#define CC_ENGINE_PROMPT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/text/chat_template.h"

namespace gemma {

// The text as it is, special tokens in it included: `<bos>` is a token here. BOS is put before it
// where the manifest says so and the text does not begin with it. FailedPrecondition when the
// artifact has no tokenizer.
absl::StatusOr<std::vector<int32_t>> MakeRawPrompt(const Engine& engine, const std::string& text);

// The conversation in the words of a chat template (chat_template.h names them; the artifact's own is
// manifest().tokenizer->chat_template); special tokens in the messages are mere text.
// FailedPrecondition when the artifact has no tokenizer, or not the template's special tokens.
absl::StatusOr<std::vector<int32_t>> MakeChatPrompt(const Engine& engine,
                                                    const std::string& chat_template,
                                                    const std::vector<Message>& messages,
                                                    bool thinking);

}  // namespace gemma

#endif  // CC_ENGINE_PROMPT_H_
