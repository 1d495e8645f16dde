// Scripts that let a shell complete the runner's subcommands, flags and values, made from the
// parser's own tables.
#ifndef CC_RUNNER_COMPLETION_H_
#define CC_RUNNER_COMPLETION_H_

#include <string>

#include "CLI/CLI.hpp"

namespace gemma {

std::string BashCompletion(const CLI::App& root);
std::string ZshCompletion(const CLI::App& root);

}  // namespace gemma

#endif  // CC_RUNNER_COMPLETION_H_
