// The runner: one program, one subcommand a job. Results go to stdout, everything else to stderr;
// this file alone prints errors (one sentence) and decides the exit code.

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/version.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/log.h"

namespace gemma {
namespace {

int Fail(const std::string& sentence, int code) {
  LogFailure(sentence, code);
  return code;
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// Words that belong to no flag: most often the prompt itself.
std::string StrayWords(const CLI::App& root) {
  const std::vector<CLI::App*> parsed = root.get_subcommands();
  const std::vector<std::string> words = root.remaining(/*recurse=*/true);
  const std::string word = words.empty() ? "" : words.front();
  const std::string command = parsed.empty() ? "" : parsed.front()->get_name();
  if (command.empty()) return absl::StrCat(word, " is not a subcommand (runner --help lists them)");
  const std::string help = absl::StrCat("runner ", command, " --help lists the flags");
  if (word.starts_with("-")) return absl::StrCat(command, " has no flag ", word, " (", help, ")");
  if (command != "generate") return absl::StrCat(word, " belongs to no flag (", help, ")");
  return absl::StrCat(word, " belongs to no flag (did you mean --prompt \"",
                      absl::StrJoin(words, " "), "\"? ", help, ")");
}

void SetUpHelp(CLI::App& root) {
  root.require_subcommand(0, 1);
  root.set_version_flag("--version", absl::StrCat("runner ", kVersion));
  root.get_formatter()->column_width(34);
  root.footer("runner SUBCOMMAND --help lists its flags.");
}

absl::Status RunParsed(const std::vector<Command>& commands) {
  for (const Command& command : commands) {
    if (command.parser->parsed()) return command.run();
  }
  return UsageError("name a subcommand (runner --help lists them)");
}

// stdout is buffered: what was lost on the way to a full disk shows only here.
absl::Status FlushResults() {
  if (std::fflush(stdout) == 0) return absl::OkStatus();
  return absl::DataLossError("stdout: the results could not be written (is the disk full?)");
}

int Main(int argc, char** argv) {
  InstallInterruptHandlers();
  CLI::App root("Runs Gemma models that were exported to an artifact folder.", "runner");
  SetUpHelp(root);
  const std::vector<Command> commands = {
      GenerateCommand(root), ChatCommand(root),    ServeCommand(root), ScoreCommand(root),
      BenchCommand(root),    InspectCommand(root), DoctorCommand(root)};
  try {
    root.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help
    return root.exit(request);
  } catch (const CLI::ExtrasError&) {
    return Fail(StrayWords(root), kExitUsage);
  } catch (const CLI::ParseError& error) {
    return Fail(FirstLine(error.what()) + " (--help lists the flags)", kExitUsage);
  }
  absl::Status status = RunParsed(commands);
  if (status.ok()) status = FlushResults();
  if (status.ok()) return 0;
  return Fail(std::string(status.message()), ExitCode(status));
}

}  // namespace
}  // namespace gemma

int main(int argc, char** argv) {
  // Our code returns errors; the standard library may still throw,
  // above all when memory is exhausted.
  try {
    return gemma::Main(argc, argv);
  } catch (const std::exception& error) {
    return gemma::Fail(error.what(), gemma::kExitFailed);
  }
}
