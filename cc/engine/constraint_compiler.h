// The ConstraintCompiler of an engine: over its tokenizer, with the markers of its chat template.
#ifndef CC_ENGINE_CONSTRAINT_COMPILER_H_
#define CC_ENGINE_CONSTRAINT_COMPILER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/text/token_constraint.h"

namespace gemma {

// FailedPrecondition when the artifact has no tokenizer. Takes about a second for a large
// vocabulary.
absl::StatusOr<std::unique_ptr<ConstraintCompiler>> MakeEngineConstraints(const Engine& engine);

}  // namespace gemma

#endif  // CC_ENGINE_CONSTRAINT_COMPILER_H_
