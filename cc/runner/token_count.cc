#include "cc/runner/token_count.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace gemma {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;  // far beyond any context

}  // namespace

absl::StatusOr<int64_t> ParseTokenCount(absl::string_view text, int64_t least) {
  const bool thousands = !text.empty() && (text.back() == 'k' || text.back() == 'K');
  int64_t count = 0;
  const absl::string_view digits = text.substr(0, text.size() - thousands);
  const bool is_number = digits.find_first_not_of("0123456789") == absl::string_view::npos &&
                         absl::SimpleAtoi(digits, &count);
  if (is_number && thousands && count <= kMost / 1024) count *= 1024;
  if (is_number && count >= least && count <= kMost) return count;
  return absl::InvalidArgumentError(absl::StrCat(
      text.substr(0, 40), " is not a number of tokens from ", least, " on (write 4096 or 4k)"));
}

CLI::Validator TokenCount(int64_t least) {
  const auto check = [least](std::string& text) -> std::string {
    const absl::StatusOr<int64_t> count = ParseTokenCount(text, least);
    if (!count.ok()) return std::string(count.status().message());
    text = absl::StrCat(*count);
    return "";
  };
  return CLI::Validator(check, "");
}

}  // namespace gemma
