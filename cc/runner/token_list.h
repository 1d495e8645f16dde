// Token ids as users write them: 2,105,2364.
#ifndef CC_RUNNER_TOKEN_LIST_H_
#define CC_RUNNER_TOKEN_LIST_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma {

// UsageError, naming the entry, unless `text` is one or more
// non-negative decimal numbers separated by commas.
absl::StatusOr<std::vector<int32_t>> ParseTokenList(absl::string_view text);

}  // namespace gemma

#endif  // CC_RUNNER_TOKEN_LIST_H_
