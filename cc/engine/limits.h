// What an artifact allows, and whether tokens fit its context.
#ifndef CC_ENGINE_LIMITS_H_
#define CC_ENGINE_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace gemma {

struct EngineLimits {
  int64_t max_seq_len = 0;        // positions of a session
  int64_t max_prefill_chunk = 0;  // tokens of a call
  int64_t vocab_size = 0;
  bool can_generate = false;  // the artifact has prefill and decode
  bool can_score = false;     // the artifact has score
};

// InvalidArgument for no tokens; OutOfRange, with both numbers and the remedy, when `tokens` do not
// fit a session that holds `position` positions.
absl::Status CheckRoom(const EngineLimits& limits, int64_t position, size_t tokens);

}  // namespace gemma

#endif  // CC_ENGINE_LIMITS_H_
