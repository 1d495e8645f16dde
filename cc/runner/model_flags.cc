#include "cc/runner/model_flags.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "cc/base/status_macros.h"
#include "cc/engine/benchmark_info.h"
#include "cc/engine/engine_impl.h"
#include "cc/runner/interrupt.h"

namespace gemma {
namespace {

constexpr double kSecondsBetweenReports = 1.0;

// Prints a line now and then while weights are read; nothing for a load that is over within a
// second.
class LoadProgress {
 public:
  void Report(uint64_t done, uint64_t total) {
    if (since_report_.Seconds() < kSecondsBetweenReports) return;
    since_report_.Restart();
    std::fprintf(stderr, "loading weights: %.2f of %.2f GB, %.1f s\n", done / 1e9, total / 1e9,
                 since_start_.Seconds());
  }

 private:
  Stopwatch since_start_;
  Stopwatch since_report_;
};

DeviceChoice ChosenDevice(const ModelFlags& flags) {
  if (flags.device == "cpu") return DeviceChoice::kCpu;
  return flags.device == "cuda" ? DeviceChoice::kCuda : DeviceChoice::kAuto;
}

EngineOptions OptionsOf(const ModelFlags& flags) {
  auto progress = std::make_shared<LoadProgress>();
  EngineOptions options;
  options.device = ChosenDevice(flags);
  options.threads = flags.threads;
  options.random_weights = flags.random_weights;
  options.progress = [progress](uint64_t done, uint64_t total) { progress->Report(done, total); };
  options.report = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  return options;
}

}  // namespace

void AddModelFlags(CLI::App& parser, ModelFlags& flags) {
  parser.add_option("--model", flags.model, "The artifact folder that export made.")->required();
  parser
      .add_option("--device", flags.device, "auto, cpu or cuda; auto takes the best one there is.")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  parser
      .add_option("--threads", flags.threads,
                  "Threads on the CPU; 0: one for each CPU of this process.")
      ->check(CLI::Range(0, 256));
  parser
      .add_option("--prefill_chunk", flags.prefill_chunk,
                  "Tokens a call; 0: as many as the artifact allows.")
      ->check(CLI::NonNegativeNumber);
  parser.add_flag("--random_weights", flags.random_weights,
                  "Make up the weights that the artifact's files lack, the same ones on every "
                  "machine: for measuring without a checkpoint.");
}

std::string UserPath(const std::string& path) {
  const char* folder = std::getenv("BUILD_WORKING_DIRECTORY");
  return folder == nullptr ? path : (std::filesystem::path(folder) / path).string();
}

absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const ModelFlags& flags) {
  return LoadEngine(UserPath(flags.model), OptionsOf(flags));
}

absl::Status PrintMemoryPlan(const ModelFlags& flags) {
  GEMMA_ASSIGN_OR_RETURN(const MemoryEstimate plan,
                         EstimateMemory(UserPath(flags.model), OptionsOf(flags)));
  std::printf("device: %s\nmemory: %s\n", plan.device.c_str(), FormatMemory(plan.memory).c_str());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Session>> OpenSession(Engine& engine, const ModelFlags& flags) {
  return engine.NewSession({.prefill_chunk = flags.prefill_chunk, .cancelled = &Interrupted()});
}

}  // namespace gemma
