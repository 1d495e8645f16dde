#include "cc/runner/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "cc/runner/exit_code.h"

namespace gemma {
namespace {

static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void HandleSignal(int) {
  if (Interrupted().exchange(true) || ExitAtSignal()) _exit(kExitInterrupted);
}

}  // namespace

std::atomic<bool>& Interrupted() {
  static std::atomic<bool> interrupted{false};
  return interrupted;
}

std::atomic<bool>& ExitAtSignal() {
  static std::atomic<bool> exit_at_signal{false};
  return exit_at_signal;
}

void InstallInterruptHandlers() {
  Interrupted();  // both constructed before a handler can run
  ExitAtSignal();
  struct sigaction action = {};
  action.sa_handler = HandleSignal;  // without SA_RESTART: a read at a prompt must return
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace gemma
