#include "cc/engine/constraint_compiler.h"

#include "absl/status/status.h"
#include "cc/base/status_macros.h"
#include "cc/text/chat_template.h"
#include "cc/text/make_constraint_compiler.h"

namespace gemma {

absl::StatusOr<std::unique_ptr<ConstraintCompiler>> MakeEngineConstraints(const Engine& engine) {
  const Tokenizer* tokenizer = engine.tokenizer();
  if (tokenizer == nullptr) {
    return absl::FailedPreconditionError(
        "the artifact has no tokenizer, so answers cannot be held to a form");
  }
  const ManifestTokenizer& entry = *engine.manifest().tokenizer;
  AnswerMarkers markers;
  if (entry.chat_template.has_value()) {
    GEMMA_ASSIGN_OR_RETURN(const ChatTemplate chat,
                           ChatTemplate::Create(*entry.chat_template, *tokenizer));
    markers = chat.answer_markers();
  }
  return MakeConstraintCompiler(*tokenizer, markers, entry.stop_ids);
}

}  // namespace gemma
