// The methods of a .pte that only return numbers: ExecuTorch's own tools ask a language model for
// them by these names. Our engine takes the same numbers from manifest.json and never loads them.
#ifndef CC_ENGINE_CONSTANT_METHODS_H_
#define CC_ENGINE_CONSTANT_METHODS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "third_party/executorch/program_generated.h"

namespace gemma {

constexpr int kConstantMethods = 8;

// Whether ExecuTorch knows a constant method of that name, and python/export writes it.
bool IsConstantMethod(absl::string_view name);

// Whether a method of such a name returns numbers of its kind and does nothing else.
// InvalidArgument with one sentence that lacks only the file's name.
absl::Status CheckConstantMethod(const executorch_flatbuffer::ExecutionPlan& method);

}  // namespace gemma

#endif  // CC_ENGINE_CONSTANT_METHODS_H_
