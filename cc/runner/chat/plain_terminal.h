// A chat's lines from stdin and its words to stdout and stderr as they are: no editing, no escape
// codes. For pipes, and for terminals that cannot do more.
#ifndef CC_RUNNER_CHAT_PLAIN_TERMINAL_H_
#define CC_RUNNER_CHAT_PLAIN_TERMINAL_H_

#include <memory>

#include "cc/runner/chat/terminal.h"

namespace gemma::chat {

// Answers go to stdout; thoughts, notes and prompts, which only a person sees, to stderr.
std::unique_ptr<Terminal> MakePlainTerminal(bool quiet);

}  // namespace gemma::chat

#endif  // CC_RUNNER_CHAT_PLAIN_TERMINAL_H_
