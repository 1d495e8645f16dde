// completion: a script for a shell, on stdout.

#include <cstdio>
#include <memory>
#include <string>

#include "cc/runner/command.h"
#include "cc/runner/completion.h"
#include "cc/runner/flags.h"

namespace gemma {
namespace {

absl::Status PrintScript(const CLI::App& root, const std::string& shell) {
  std::fputs((shell == "zsh" ? ZshCompletion(root) : BashCompletion(root)).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

Command CompletionCommand(CLI::App& root) {
  auto shell = std::make_shared<std::string>();
  CLI::App* parser =
      root.add_subcommand("completion", "Prints a script that lets a shell complete flags.");
  parser->add_option("shell", *shell, "The shell.")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}))
      ->option_text("bash|zsh");
  AddExamples(*parser, {"source <(runner completion bash)", "source <(runner completion zsh)"});
  return {parser, [&root, shell] { return PrintScript(root, *shell); }};
}

}  // namespace gemma
