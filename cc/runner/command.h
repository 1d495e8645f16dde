// A subcommand of the runner. Its function declares the flags on a parser of its own and returns
// what to do once they are read; flags live in what is returned. One file a subcommand.
#ifndef CC_RUNNER_COMMAND_H_
#define CC_RUNNER_COMMAND_H_

#include <functional>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace gemma {

struct Command {
  CLI::App* parser = nullptr;  // owned by the root parser
  std::function<absl::Status()> run;
};

Command BenchCommand(CLI::App& root);
Command ChatCommand(CLI::App& root);
Command CompletionCommand(CLI::App& root);
Command DoctorCommand(CLI::App& root);
Command GenerateCommand(CLI::App& root);
Command InspectCommand(CLI::App& root);
Command PerplexityCommand(CLI::App& root);
Command ScoreCommand(CLI::App& root);
Command ServeCommand(CLI::App& root);

}  // namespace gemma

#endif  // CC_RUNNER_COMMAND_H_
