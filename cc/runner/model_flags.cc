#include "cc/runner/model_flags.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "cc/engine/benchmark_info.h"
#include "cc/engine/engine_impl.h"
#include "cc/runner/interrupt.h"

namespace gemma {
namespace {

constexpr double kSecondsBetweenReports = 1.0;

// Prints a line now and then while weights are read; nothing for a load that is over within a second.
class LoadProgress {
 public:
  void Report(uint64_t done, uint64_t total) {
    if (since_report_.Seconds() < kSecondsBetweenReports) return;
    since_report_.Restart();
    std::fprintf(stderr, "loading weights: %.2f of %.2f GB, %.1f s\n", done / 1e9, total / 1e9, since_start_.Seconds());
  }

 private:
  Stopwatch since_start_;
  Stopwatch since_report_;
};

}  // namespace

void AddModelFlags(CLI::App& parser, ModelFlags& flags) {
  parser.add_option("--model", flags.model, "The artifact folder that export made.")->required();
  parser.add_option("--device", flags.device, "auto, cpu or cuda; auto takes the best one there is.")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  parser.add_option("--threads", flags.threads, "Threads on the CPU; 0: one for each CPU of this process.")
      ->check(CLI::Range(0, 256));
  parser.add_option("--prefill_chunk", flags.prefill_chunk, "Tokens a call; 0: as many as the artifact allows.")
      ->check(CLI::NonNegativeNumber);
}

std::string UserPath(const std::string& path) {
  const char* folder = std::getenv("BUILD_WORKING_DIRECTORY");
  return folder == nullptr ? path : (std::filesystem::path(folder) / path).string();
}

absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const ModelFlags& flags) {
  if (flags.device == "cuda") {
    return absl::UnimplementedError("--device cuda: this runner was built without CUDA (use --device cpu)");
  }
  auto progress = std::make_shared<LoadProgress>();
  EngineOptions options;
  options.threads = flags.threads;
  options.progress = [progress](uint64_t done, uint64_t total) { progress->Report(done, total); };
  return LoadEngine(UserPath(flags.model), options);
}

absl::StatusOr<std::unique_ptr<Session>> OpenSession(Engine& engine, const ModelFlags& flags) {
  return engine.NewSession({.prefill_chunk = flags.prefill_chunk, .cancelled = &Interrupted()});
}

}  // namespace gemma
