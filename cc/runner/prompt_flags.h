// The flags of what is said to the model and in which form: the prompt, where it comes from, and
// the chat template around it.
#ifndef CC_RUNNER_PROMPT_FLAGS_H_
#define CC_RUNNER_PROMPT_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"

namespace gemma {

// Of the chat template: generate and chat have these.
struct TemplateFlags {
  std::string chat_template = "auto";  // --chat_template; auto: the artifact's own
  std::string system;                  // --system
  bool thinking = false;               // --thinking
};

void AddTemplateFlags(CLI::App& parser, TemplateFlags& flags);

// The template that was forced, else the artifact's own; none where there is neither.
std::optional<std::string> FindTemplate(const TemplateFlags& flags, const Engine& engine);

// FailedPrecondition where the checkpoint has a chat template that no name stands for: a prompt must
// then not look as if it had none. For when FindTemplate has found none.
absl::Status CheckNoForeignTemplate(const Engine& engine);

struct PromptFlags {
  std::optional<std::string> prompt;       // --prompt; - is stdin
  std::optional<std::string> prompt_file;  // --prompt_file; - is stdin
  bool raw = false;                        // --raw
  TemplateFlags chat;
};

void AddPromptFlags(CLI::App& parser, PromptFlags& flags);

// UsageError for flags that exclude one another.
absl::Status CheckPromptFlags(const PromptFlags& flags);

// The prompt's text: from its flag, its file, or stdin,
// which is also read when neither flag is given and it is not a terminal.
// One newline at stdin's end is left out. UsageError when there is no prompt.
absl::StatusOr<std::string> ReadPrompt(const PromptFlags& flags);

// The prompt's tokens, and the template that they were put into; none: the text goes on as it is.
struct EncodedPrompt {
  std::vector<int32_t> tokens;
  std::optional<std::string> chat_template;
};
absl::StatusOr<EncodedPrompt> EncodePrompt(const PromptFlags& flags, const Engine& engine,
                                           const std::string& text);

}  // namespace gemma

#endif  // CC_RUNNER_PROMPT_FLAGS_H_
