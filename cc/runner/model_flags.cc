#include "cc/runner/model_flags.h"

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cc/base/sizes.h"
#include "cc/base/status_macros.h"
#include "cc/engine/benchmark_info.h"
#include "cc/engine/load_engine.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/log.h"
#include "cc/runner/user_path.h"

namespace gemma {
namespace {

constexpr double kSecondsBetweenReports = 1.0;
constexpr int kMaxThreads = 256;

// Prints a line now and then while weights are read;
// nothing for a load that is over within a second.
class LoadProgress {
 public:
  void Report(uint64_t done, uint64_t total) {
    if (since_report_.Seconds() < kSecondsBetweenReports) return;
    since_report_.Restart();
    LogProgress({.what = "loading weights",
                 .done = static_cast<int64_t>(done),
                 .total = static_cast<int64_t>(total),
                 .unit = "bytes",
                 .seconds = since_start_.Seconds()});
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
  EngineOptions options;
  options.device = ChosenDevice(flags);
  options.threads = flags.threads.value_or(0);
  options.random_weights = flags.random_weights;
  if (flags.quiet) return options;
  auto progress = std::make_shared<LoadProgress>();
  options.progress = [progress](uint64_t done, uint64_t total) { progress->Report(done, total); };
  options.report = LogNote;
  return options;
}

absl::Status CheckFlags(const ModelFlags& flags) {
  if (flags.threads.has_value() && flags.device == "cuda") {
    return UsageError("--threads is for the CPU, but --device cuda was asked for (leave one away)");
  }
  return absl::OkStatus();
}

// What the artifact's limits and its device say about the flags.
absl::Status CheckFlags(const ModelFlags& flags, const Engine& engine) {
  if (flags.prefill_chunk > engine.limits().max_prefill_chunk) {
    return UsageError(absl::StrCat("--prefill_chunk ", flags.prefill_chunk, " is more than the ",
                                   engine.limits().max_prefill_chunk,
                                   " tokens that a call of this artifact takes"));
  }
  if (flags.threads.has_value() && absl::StartsWith(engine.device(), "CUDA")) {
    Note(flags, absl::StrCat("--threads ", *flags.threads,
                             " is ignored: it is for the CPU, and this runs on the GPU"));
  }
  return absl::OkStatus();
}

// "fits: ...", for people; what does not fit at all is an error instead.
std::string Verdict(const MemoryEstimate& estimate) {
  const ExecutorMemory& memory = estimate.memory;
  const uint64_t full = memory.model() + memory.session;
  const std::string numbers =
      absl::StrCat(FormatBytes(full), " with one session of ", estimate.max_seq_len,
                   " positions, of ", FormatBytes(memory.free), " free");
  if (full <= memory.free) return absl::StrCat("fits: ", numbers);
  return absl::StrCat("fits, but not with a full session: ", numbers,
                      " (export with a smaller --max_seq_len, or keep texts short)");
}

}  // namespace

void AddModelFlags(CLI::App& parser, ModelFlags& flags) {
  const std::string kGroup = "Model and device";
  parser.add_option("--model", flags.model, "The artifact folder that export made.")
      ->required()
      ->option_text("DIR")
      ->group(kGroup);
  AddChoice(parser, "--device", flags.device, {"auto", "cpu", "cuda"},
            "auto takes the GPU where there is one that can be used.")
      ->group(kGroup);
  parser.add_option("--threads", flags.threads, "Threads on the CPU.")
      ->check(CLI::Range(0, kMaxThreads))
      ->option_text("N [one for each CPU]")
      ->group(kGroup);
  AddTokenCount(parser, "--prefill_chunk", flags.prefill_chunk, 0,
                "Tokens of a prompt a call; 0: as many as the artifact allows.")
      ->group(kGroup);
  parser
      .add_flag("--random_weights", flags.random_weights,
                "Make up the weights that the artifact's files lack, the same ones on every "
                "machine: for measuring without a checkpoint.")
      ->group(kGroup);
  parser.add_flag("--quiet", flags.quiet, "Nothing on stderr but errors.")->group(kGroup);
}

void Note(const ModelFlags& flags, const std::string& line) {
  if (!flags.quiet) LogNote(line);
}

absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(
    const ModelFlags& flags, const std::function<absl::Status(const Engine&)>& check) {
  GEMMA_RETURN_IF_ERROR(CheckFlags(flags));
  EngineOptions options = OptionsOf(flags);
  options.check = [&](const Engine& engine) -> absl::Status {
    GEMMA_RETURN_IF_ERROR(CheckFlags(flags, engine));
    return check(engine);
  };
  return LoadEngine(UserPath(flags.model), options);
}

absl::Status PrintMemoryEstimate(const ModelFlags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckFlags(flags));
  GEMMA_ASSIGN_OR_RETURN(const MemoryEstimate estimate,
                         EstimateMemory(UserPath(flags.model), OptionsOf(flags)));
  std::printf("device: %s\nmemory: %s\n", estimate.device.c_str(),
              FormatMemory(estimate.memory).c_str());
  const absl::Status fits = CheckFits(estimate.memory);
  if (fits.ok()) {
    std::printf("%s\n", Verdict(estimate).c_str());
    return fits;
  }
  return absl::Status(fits.code(), absl::StrCat("does not fit: ", fits.message()));
}

absl::StatusOr<std::unique_ptr<Session>> OpenSession(Engine& engine, const ModelFlags& flags) {
  return engine.NewSession({.prefill_chunk = flags.prefill_chunk, .cancelled = &Interrupted()});
}

}  // namespace gemma
