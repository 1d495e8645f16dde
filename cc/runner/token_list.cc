#include "cc/runner/token_list.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cc/runner/exit_code.h"

namespace gemma {

absl::StatusOr<std::vector<int32_t>> ParseTokenList(absl::string_view text) {
  std::vector<int32_t> tokens;
  for (absl::string_view entry : absl::StrSplit(text, ',')) {
    int32_t token = 0;
    if (!absl::SimpleAtoi(entry, &token) || token < 0) {
      return UsageError(absl::StrCat("--tokens: entry ", tokens.size() + 1, ", \"", entry.substr(0, 40),
                                     "\", is not a token id (write ids separated by commas: 2,105,2364)"));
    }
    tokens.push_back(token);
  }
  return tokens;
}

}  // namespace gemma
