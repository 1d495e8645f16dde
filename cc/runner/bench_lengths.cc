#include "cc/runner/bench_lengths.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/runner/exit_code.h"

namespace gemma {
namespace {

// One of the two lists; adds what it did to `note`.
absl::Status Fit(const char* flag, int64_t max_seq_len, int64_t depth, bool given,
                 std::vector<int64_t>& counts, std::string& note) {
  const int64_t room = max_seq_len - depth;
  for (int64_t& tokens : counts) {
    if (tokens <= room) continue;
    if (given) {
      return UsageError(absl::StrCat(flag, " ", tokens, " at --depth ", depth, " needs ",
                                     depth + tokens,
                                     " positions, but the context of this artifact ", "ends at ",
                                     max_seq_len, " (use at most ", room, ")"));
    }
    tokens = room;
    absl::StrAppend(&note, note.empty() ? "measuring " : ", ", flag, " ", room);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> FitLengths(int64_t max_seq_len, BenchLengths& lengths) {
  const int64_t depth = *std::max_element(lengths.depth.begin(), lengths.depth.end());
  if (depth >= max_seq_len) {
    return UsageError(absl::StrCat("--depth ", depth, " leaves no room in this artifact's context ",
                                   "of ", max_seq_len, " positions (use at most ", max_seq_len - 1,
                                   ")"));
  }
  std::string note;
  GEMMA_RETURN_IF_ERROR(
      Fit("--prefill", max_seq_len, depth, lengths.prefill_given, lengths.prefill, note));
  GEMMA_RETURN_IF_ERROR(
      Fit("--decode", max_seq_len, depth, lengths.decode_given, lengths.decode, note));
  if (!note.empty())
    absl::StrAppend(&note, ", since the context of this artifact ends at ", max_seq_len);
  return note;
}

}  // namespace gemma
