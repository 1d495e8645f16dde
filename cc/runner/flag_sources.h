// Where a flag's value comes from when the command line does not say it: an environment variable,
// GEMMA_RUNNER_TEMPERATURE for --temperature, or a file named by --config, in TOML:
//
//   threads = 8              # every subcommand that has --threads
//   [serve]                  # only this one; beats the line above
//   port = 8000
//
// The command line comes before the environment, that before the file, and each before the default.
// What is found is put behind the words of the command line, so that every rule for those holds for
// it too. Nothing is silently ignored: a name that is no flag of any subcommand is refused.
#ifndef CC_RUNNER_FLAG_SOURCES_H_
#define CC_RUNNER_FLAG_SOURCES_H_

#include <map>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma {

// "GEMMA_RUNNER_TOP_K" of "top_k".
std::string EnvironmentName(absl::string_view flag);

struct CommandLine {
  std::vector<std::string> words;              // without the program's name
  std::map<std::string, std::string> sources;  // flag -> where its value is from, if not from here
};

// `environment`: "NAME=value" entries. UsageError for a name that is no flag; an error of the file
// names it. Nothing is added where --help or no subcommand is asked for.
absl::StatusOr<CommandLine> AddFlagSources(const CLI::App& root,
                                           const std::vector<std::string>& words,
                                           const std::vector<std::string>& environment);

}  // namespace gemma

#endif  // CC_RUNNER_FLAG_SOURCES_H_
