#include "cc/executor/session_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma {

uint64_t SessionState::bytes() const {
  uint64_t bytes = 0;
  for (const PlanCache& cache : caches_) bytes += cache.bytes;
  return bytes;
}

absl::Status SessionState::CheckStart(int64_t start, int64_t tokens) const {
  if (start < 0 || start > length_) {
    return absl::OutOfRangeError(
        absl::StrCat("position ", start, " is not within the session's ", length_,
                     " positions (a call begins at the end or before it)"));
  }
  if (tokens > max_context_ - start) {
    return absl::OutOfRangeError(
        absl::StrCat(start, " positions and ", tokens, " more tokens do not fit the context of ",
                     max_context_, " (export the model with a larger max_seq_len)"));
  }
  if (start == 0) return absl::OkStatus();
  for (const PlanCache& cache : caches_) {
    const int64_t oldest_seen =
        cache.window == 0 ? 0 : std::max<int64_t>(0, start - cache.window + 1);
    const int64_t oldest_held = std::max<int64_t>(0, highest_ - cache.capacity);
    if (oldest_seen < oldest_held) {
      return absl::FailedPreconditionError(
          absl::StrCat("the session cannot go back to position ", start, ": ", cache.name,
                       " holds positions from ", oldest_held, " on, but ", oldest_seen,
                       " is needed (start again from 0)"));
    }
  }
  return absl::OkStatus();
}

void SessionState::Begin(int64_t start, int64_t tokens) {
  if (start == 0) highest_ = 0;
  length_ = start;
  highest_ = std::max(highest_, start + tokens);
}

void SessionState::Commit(int64_t start, int64_t tokens) { length_ = start + tokens; }

absl::Status SessionState::Rewind(int64_t length) {
  GEMMA_RETURN_IF_ERROR(CheckStart(length, 0));
  length_ = length;
  return absl::OkStatus();
}

}  // namespace gemma
