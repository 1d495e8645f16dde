#include "cc/engine/prompt.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/tokenizer.h"

namespace gemma {
namespace {

absl::StatusOr<const Tokenizer*> FindTokenizer(const Engine& engine) {
  if (engine.tokenizer() != nullptr) return engine.tokenizer();
  return absl::FailedPreconditionError(
      "the artifact has no tokenizer, so it can score token ids but not read text");
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> MakeRawPrompt(const Engine& engine, const std::string& text) {
  GEMMA_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, FindTokenizer(engine));
  GEMMA_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
                         tokenizer->Encode(text, {.parse_special = true}));
  const ManifestTokenizer& entry = *engine.manifest().tokenizer;
  const bool begins_with_bos = !ids.empty() && ids.front() == entry.bos_id;
  if (entry.add_bos && !begins_with_bos) ids.insert(ids.begin(), entry.bos_id);
  if (ids.empty()) return absl::InvalidArgumentError("the prompt is empty");
  return ids;
}

absl::StatusOr<std::vector<int32_t>> MakeChatPrompt(const Engine& engine,
                                                    const std::string& chat_template,
                                                    const std::vector<Message>& messages,
                                                    bool thinking) {
  GEMMA_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, FindTokenizer(engine));
  GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat, ChatTemplate::Create(chat_template, *tokenizer));
  return chat.Encode(messages, {.thinking = thinking, .add_generation_prompt = true});
}

}  // namespace gemma
