// Whether a JSON schema can be enforced token by token, by the grammars that it is compiled to
// (make_constraint_compiler.h). What they would leave out is refused here by its name, so that no
// answer breaks a rule that was accepted.
#ifndef CC_TEXT_CHECK_SCHEMA_H_
#define CC_TEXT_CHECK_SCHEMA_H_

#include <string>

#include "absl/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace gemma {

inline constexpr size_t kMaxSchemaBytes = 256 << 10;
inline constexpr int kMaxSchemaDepth = 32;
// Of minLength, maxItems and the like.
inline constexpr int64_t kMaxSchemaCount = 10'000;
inline constexpr size_t kMaxPatternBytes = 1000;

// InvalidArgument with one sentence that names the place and the keyword: `schema.properties.age:
// "not" is not supported`. Requires that the schema is nested at most as deep as the parser of a
// request allows.
absl::Status CheckSchema(const nlohmann::json& schema);

}  // namespace gemma

#endif  // CC_TEXT_CHECK_SCHEMA_H_
