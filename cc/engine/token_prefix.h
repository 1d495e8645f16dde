// What a session already holds of a new prompt need not be computed again.
#ifndef CC_ENGINE_TOKEN_PREFIX_H_
#define CC_ENGINE_TOKEN_PREFIX_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "cc/engine/session.h"

namespace gemma {

// Rewinds the session, which holds the tokens `held`, to what it shares with `prompt`, and returns
// how many of the prompt's tokens that is. At least one token of the prompt is left to compute.
// Where a sliding window has overwritten what the shared tokens need,
// the session starts from empty.
absl::StatusOr<size_t> KeepPrefix(Session& session, std::span<const int32_t> held,
                                  std::span<const int32_t> prompt);

}  // namespace gemma

#endif  // CC_ENGINE_TOKEN_PREFIX_H_
