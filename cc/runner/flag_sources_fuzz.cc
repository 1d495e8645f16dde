// Whatever a --config file says, it is refused in a sentence, or becomes words that are flags of
// the subcommand, each with its value in the same word, so that no value can pass for another flag.

#include <algorithm>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "build/fuzzing/harness.h"
#include "build/fuzzing/memory_file.h"
#include "cc/runner/flag_sources.h"

namespace gemma::fuzzing {
namespace {

// A program with two subcommands: `write --heat X --stop TEXT... --quiet` and `serve --port N`.
struct Program {
  Program() {
    root.add_option("--config", config);
    CLI::App* write = root.add_subcommand("write");
    write->add_option("--heat", heat);
    write->add_option("--stop", stop);
    write->add_flag("--quiet", quiet);
    root.add_subcommand("serve")->add_option("--port", port);
  }

  CLI::App root{"", "runner"};
  std::string config, heat, port;
  std::vector<std::string> stop;
  bool quiet = false;
};

bool IsFlag(const std::string& word) {
  return word == "--quiet" || absl::StartsWith(word, "--quiet=") ||
         absl::StartsWith(word, "--heat=") || absl::StartsWith(word, "--stop=");
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  const Program program;
  const MemoryFile file(bytes);
  const std::vector<std::string> asked = {"write", "--config", file.path()};
  const absl::StatusOr<CommandLine> line = AddFlagSources(program.root, asked, {});
  if (!line.ok()) {
    CheckRefusal(line.status());
    return false;
  }
  Check(line->words.size() >= asked.size() &&
            std::equal(asked.begin(), asked.end(), line->words.begin()),
        "the command line stays");
  for (size_t i = asked.size(); i < line->words.size(); ++i)
    Check(IsFlag(line->words[i]), "what is added is a flag of the subcommand:", line->words[i]);
  for (const auto& [flag, source] : line->sources)
    Check(source == file.path(), "a value's source is the file:", flag);
  return true;
}

std::vector<std::string> Seeds() {
  return {
      "heat = 3\nstop = [\"a\", \"b\"]\nport = 80\n[write]\nquiet = true\nheat = 0.5 # "
      "warm\n[serve]\nport = 8000\n"};
}

}  // namespace gemma::fuzzing
