// What Ctrl-C does: the first one asks the running work to stop after its current step, the second
// one ends the process with exit code 130.
#ifndef CC_RUNNER_INTERRUPT_H_
#define CC_RUNNER_INTERRUPT_H_

#include <atomic>

namespace gemma {

// Installs the handlers of SIGINT and SIGTERM. Once, by main.
void InstallInterruptHandlers();

// Becomes true at the first signal; the chat sets it back after it has stopped an answer.
std::atomic<bool>& Interrupted();

// While it is true, the first signal already ends the process: for a prompt that no signal ends.
std::atomic<bool>& ExitAtSignal();

}  // namespace gemma

#endif  // CC_RUNNER_INTERRUPT_H_
