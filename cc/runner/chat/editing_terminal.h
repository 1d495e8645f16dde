// A person's terminal: lines are edited, remembered and completed by Isocline; what is no answer is
// dim.
#ifndef CC_RUNNER_CHAT_EDITING_TERMINAL_H_
#define CC_RUNNER_CHAT_EDITING_TERMINAL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cc/runner/chat/terminal.h"

namespace gemma::chat {

// Whether stdin and stdout are a terminal that can be written to anywhere.
bool CanEdit();

// Lines that were typed are kept in `history_file`, which only its owner may read; empty: while the
// program runs. One at a time. The error names the file.
absl::StatusOr<std::unique_ptr<Terminal>> MakeEditingTerminal(const std::string& history_file,
                                                              bool quiet);

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_EDITING_TERMINAL_H_
