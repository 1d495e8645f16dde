#include "cc/engine/token_prefix.h"

#include <algorithm>

#include "absl/status/status.h"
#include "cc/base/status_macros.h"

namespace gemma {

absl::StatusOr<size_t> KeepPrefix(Session& session, std::span<const int32_t> held,
                                  std::span<const int32_t> prompt) {
  const size_t longest = std::min(held.size(), prompt.empty() ? 0 : prompt.size() - 1);
  const size_t shared =
      std::mismatch(held.begin(), held.begin() + longest, prompt.begin()).first - held.begin();
  const absl::Status rewound = session.Rewind(static_cast<int64_t>(shared));
  if (rewound.ok()) return shared;
  if (!absl::IsFailedPrecondition(rewound)) return rewound;
  GEMMA_RETURN_IF_ERROR(session.Rewind(0));
  return 0;
}

}  // namespace gemma
