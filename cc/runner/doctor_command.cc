// doctor: what this machine offers, and whether an artifact is one that the other commands take. It
// goes on after a problem, so that several are found at once.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/sizes.h"
#include "cc/engine/describe_machine.h"
#include "cc/engine/load_engine.h"
#include "cc/runner/build_version.h"
#include "cc/runner/command.h"
#include "cc/runner/flags.h"
#include "cc/runner/user_path.h"

namespace gemma {
namespace {

struct Flags {
  std::string model;
  bool random_weights = false;
};

void PrintMachine() {
  const MachineDescription machine = DescribeMachine();
  std::printf("runner    %s\n", BuildVersion().c_str());
  std::printf("kernels   %s\n", machine.kernels.c_str());
  std::printf("CPUs      %d\n", machine.cpus);
  std::printf("memory    %s free for this process\n", FormatBytes(machine.free_memory).c_str());
  std::printf("GPU       %s\n", machine.gpu.c_str());
}

absl::Status Diagnose(const Flags& flags) {
  PrintMachine();
  if (flags.model.empty()) return absl::OkStatus();
  const std::vector<absl::Status> problems =
      FindProblems(UserPath(flags.model), flags.random_weights);
  for (const absl::Status& problem : problems)
    std::printf("problem   %s\n", std::string(problem.message()).c_str());
  if (problems.empty()) {
    std::printf("model     %s: every file is whole, and they belong together\n",
                flags.model.c_str());
    return absl::OkStatus();
  }
  if (problems.size() == 1) return problems.front();
  return absl::Status(problems.front().code(),
                      absl::StrCat(problems.size(), " problems were found, of which the first is: ",
                                   problems.front().message()));
}

}  // namespace

Command DoctorCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand(
      "doctor", "What this machine offers; with --model, checks every file of it.");
  parser
      ->add_option("--model", flags->model,
                   "An artifact folder to check: all of its bytes are read.")
      ->option_text("DIR");
  parser->add_flag("--random_weights", flags->random_weights,
                   "Weights that the artifact's files lack are no problem.");
  AddExamples(*parser, {"runner doctor", "runner doctor --model DIR"});
  return {parser, [flags] { return Diagnose(*flags); }};
}

}  // namespace gemma
