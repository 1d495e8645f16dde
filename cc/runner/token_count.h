// Counts of tokens as users write them: 4096 or 4k.
#ifndef CC_RUNNER_TOKEN_COUNT_H_
#define CC_RUNNER_TOKEN_COUNT_H_

#include <cstdint>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma {

// "4096", or "4k": 4 x 1024. InvalidArgument, without the flag's name, for anything else and for
// less than `least`.
absl::StatusOr<int64_t> ParseTokenCount(absl::string_view text, int64_t least);

// The same for a flag, each value of it where it takes several.
CLI::Validator TokenCount(int64_t least);

}  // namespace gemma

#endif  // CC_RUNNER_TOKEN_COUNT_H_
