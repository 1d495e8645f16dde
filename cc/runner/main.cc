// The runner: one program, one subcommand a job. Results go to stdout, everything else to stderr;
// this file alone prints errors (one sentence) and decides the exit code.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cc/runner/build_version.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flag_sources.h"
#include "cc/runner/flags.h"
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

// --help names each flag's variable by one rule, and so has no room for all of them.
class Formatter final : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string text = option->get_option_text();
    return text.empty() ? "" : absl::StrCat(" ", text);
  }
};

void SetUpHelp(CLI::App& root) {
  root.require_subcommand(0, 1);
  root.set_version_flag("--version", absl::StrCat("runner ", BuildVersion()));
  root.formatter(std::make_shared<Formatter>());
  root.get_formatter()->column_width(34);
  root.footer(
      "runner SUBCOMMAND --help lists its flags. What the command line does not say comes from the "
      "environment\n(GEMMA_RUNNER_TOP_K is --top_k), then from --config, then from the defaults.");
}

// Flags that every subcommand has.
struct CommonFlags {
  std::string config;  // read by AddFlagSources
  std::string log_format = "text";
};

void AddCommonFlags(CLI::App& root, CommonFlags& flags) {
  root.fallthrough();
  root.add_option("--config", flags.config,
                  "Flags in TOML: NAME = VALUE, for one subcommand below its [SUBCOMMAND].")
      ->option_text("FILE");
  AddChoice(root, "--log_format", flags.log_format, {"text", "json"},
            "How stderr is written: for people, or one JSON object a line.")
      ->trigger_on_parse()
      ->each([](const std::string& format) {
        SetLogFormat(format == "json" ? LogFormat::kJson : LogFormat::kText);
      });
}

std::vector<std::string> Environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

// " (from GEMMA_RUNNER_TOP_K)" where the error is about a flag that was not on the command line.
std::string SourceOf(const std::string& error, const std::map<std::string, std::string>& sources) {
  for (const auto& [flag, source] : sources) {
    absl::string_view rest = error;
    if (absl::ConsumePrefix(&rest, absl::StrCat("--", flag)) && !rest.empty() &&
        (rest[0] == ':' || rest[0] == ' ')) {
      return absl::StrCat(" (from ", source, ")");
    }
  }
  return "";
}

// A misspelled flag comes before a missing one: it may be the same.
std::string UsageSentence(const CLI::App& root, const CLI::ParseError& error,
                          const std::map<std::string, std::string>& sources) {
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const bool stray = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  if (stray || (missing && root.remaining_size(/*recurse=*/true) > 0)) return StrayWords(root);
  const std::string sentence = FirstLine(error.what());
  return absl::StrCat(sentence, SourceOf(sentence, sources), " (--help lists the flags)");
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

// Before anything can be refused.
void TakeLogFormat(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    const bool two_words =
        words[i] == "--log_format" && i + 1 < words.size() && words[i + 1] == "json";
    if (two_words || words[i] == "--log_format=json") SetLogFormat(LogFormat::kJson);
  }
}

// Reads the command line; false where all is done, with the exit code in `code`.
bool Parse(CLI::App& root, const std::vector<std::string>& words, int& code) {
  TakeLogFormat(words);
  const absl::StatusOr<CommandLine> line = AddFlagSources(root, words, Environment());
  if (!line.ok()) {
    code = Fail(std::string(line.status().message()), ExitCode(line.status()));
    return false;
  }
  try {
    root.parse(std::vector<std::string>(line->words.rbegin(), line->words.rend()));
    return true;
  } catch (const CLI::Success& request) {  // --help
    code = root.exit(request);
  } catch (const CLI::ParseError& error) {
    code = Fail(UsageSentence(root, error, line->sources), kExitUsage);
  }
  return false;
}

int Main(int argc, char** argv) {
  InstallInterruptHandlers();
  CLI::App root("Runs Gemma models that were exported to an artifact folder.", "runner");
  SetUpHelp(root);
  CommonFlags flags;
  AddCommonFlags(root, flags);
  const std::vector<Command> commands = {
      GenerateCommand(root), ChatCommand(root),       ServeCommand(root),
      ScoreCommand(root),    PerplexityCommand(root), BenchCommand(root),
      InspectCommand(root),  DoctorCommand(root),     CompletionCommand(root)};
  int code = 0;
  if (!Parse(root, {argv + 1, argv + argc}, code)) return code;
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
