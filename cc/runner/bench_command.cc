// bench: tokens per second of prefill and decode at given lengths and depths. Sampling is the
// argmax; the tokens are pseudo-random and the same in every run.

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cc/base/status_macros.h"
#include "cc/engine/benchmark_info.h"
#include "cc/runner/command.h"
#include "cc/runner/measurements.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/process_memory.h"

namespace gemma {
namespace {

struct Flags {
  ModelFlags model;
  std::vector<int64_t> prefill = {512};
  std::vector<int64_t> decode = {64};
  std::vector<int64_t> depth = {0};
  int repetitions = 5;
  BenchFormat format = BenchFormat::kTable;
  bool profile = false;
  bool dry_run = false;
};

constexpr SamplingParams kGreedy = {};

// Ids spread over the vocabulary: equal ones would read the same rows of the embedding again and
// again.
std::vector<int32_t> Tokens(int64_t count, int64_t vocab_size) {
  std::vector<int32_t> tokens(count);
  for (int64_t i = 0; i < count; ++i)
    tokens[i] = static_cast<int32_t>((17 + i * 7919) % vocab_size);
  return tokens;
}

// One engine with one session that every repetition starts from empty.
class Bench {
 public:
  Bench(Session& session, int64_t vocab_size) : session_(session), vocab_size_(vocab_size) {}

  // Both leave the session at depth + tokens. Tokens per second.
  absl::StatusOr<double> Prefill(int64_t depth, int64_t tokens) {
    GEMMA_RETURN_IF_ERROR(Fill(depth));
    const std::vector<int32_t> prompt = Tokens(tokens, vocab_size_);
    const Stopwatch watch;
    GEMMA_RETURN_IF_ERROR(session_.Prefill(prompt, kGreedy).status());
    return tokens / watch.Seconds();
  }

  absl::StatusOr<double> Decode(int64_t depth, int64_t tokens) {
    GEMMA_RETURN_IF_ERROR(Fill(depth));
    const std::vector<int32_t> inputs = Tokens(tokens, vocab_size_);
    const Stopwatch watch;
    for (const int32_t token : inputs)
      GEMMA_RETURN_IF_ERROR(session_.Decode(token, kGreedy).status());
    return tokens / watch.Seconds();
  }

 private:
  absl::Status Fill(int64_t depth) {
    GEMMA_RETURN_IF_ERROR(session_.Rewind(0));
    if (depth == 0) return absl::OkStatus();
    return session_.Prefill(Tokens(depth, vocab_size_), kGreedy).status();
  }

  Session& session_;
  const int64_t vocab_size_;
};

using Measure = absl::StatusOr<double> (Bench::*)(int64_t depth, int64_t tokens);

// One warm-up, then the repetitions.
absl::Status Repeat(Bench& bench, Measure measure, int repetitions, Measurement& measurement) {
  GEMMA_RETURN_IF_ERROR((bench.*measure)(measurement.depth, measurement.tokens).status());
  for (int i = 0; i < repetitions; ++i) {
    GEMMA_ASSIGN_OR_RETURN(const double speed,
                           (bench.*measure)(measurement.depth, measurement.tokens));
    measurement.tokens_per_second.push_back(speed);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Measurement>> MeasureAll(const Flags& flags, Bench& bench) {
  std::vector<Measurement> measurements;
  for (const int64_t depth : flags.depth) {
    for (const int64_t tokens : flags.prefill) {
      measurements.push_back(
          {.test = "prefill", .tokens = tokens, .depth = depth, .tokens_per_second = {}});
      GEMMA_RETURN_IF_ERROR(Repeat(bench, &Bench::Prefill, flags.repetitions, measurements.back()));
    }
    for (const int64_t tokens : flags.decode) {
      measurements.push_back(
          {.test = "decode", .tokens = tokens, .depth = depth, .tokens_per_second = {}});
      GEMMA_RETURN_IF_ERROR(Repeat(bench, &Bench::Decode, flags.repetitions, measurements.back()));
    }
  }
  return measurements;
}

// Numbers of tokens that a call is profiled with: of decode always, of prompts (as large as a call
// takes) if a profile is asked for.
std::vector<int64_t> ProfiledTokens(const Flags& flags, int64_t max_chunk) {
  std::vector<int64_t> counts = {1};
  if (!flags.profile) return counts;
  for (const int64_t tokens : flags.prefill) {
    const int64_t count = std::min(tokens, max_chunk);
    if (std::find(counts.begin(), counts.end(), count) == counts.end()) counts.push_back(count);
  }
  return counts;
}

// The steps at every depth, of devices that can tell.
absl::StatusOr<std::vector<StepProfile>> ProfileAll(const Flags& flags, int64_t max_chunk,
                                                    Session& session) {
  std::vector<StepProfile> profiles;
  for (const int64_t tokens : ProfiledTokens(flags, max_chunk)) {
    for (const int64_t depth : flags.depth) {
      absl::StatusOr<std::vector<StepTime>> kinds = session.Profile(depth, tokens);
      if (absl::IsUnimplemented(kinds.status()) && !flags.profile) return profiles;
      GEMMA_RETURN_IF_ERROR(kinds.status());
      profiles.push_back({depth, tokens, *std::move(kinds)});
    }
  }
  return profiles;
}

void SetBytesRead(const std::vector<StepProfile>& profiles,
                  std::vector<Measurement>& measurements) {
  for (Measurement& measurement : measurements) {
    if (measurement.test != "decode") continue;
    for (const StepProfile& profile : profiles) {
      if (profile.depth != measurement.depth || profile.tokens != 1) continue;
      for (const StepTime& kind : profile.kinds)
        measurement.bytes_per_token += static_cast<double>(kind.bytes_read);
    }
  }
}

absl::Status RunBench(const Flags& flags) {
  if (flags.dry_run) return PrintMemoryPlan(flags.model);
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(*engine, flags.model));
  Bench bench(*session, engine->limits().vocab_size);
  GEMMA_ASSIGN_OR_RETURN(std::vector<Measurement> measurements, MeasureAll(flags, bench));
  GEMMA_ASSIGN_OR_RETURN(const std::vector<StepProfile> profiles,
                         ProfileAll(flags, engine->limits().max_prefill_chunk, *session));
  SetBytesRead(profiles, measurements);
  const absl::StatusOr<DeviceFigures> figures = engine->MeasureDevice();
  if (!figures.ok() && !absl::IsUnimplemented(figures.status())) return figures.status();
  const BenchConditions conditions = {
      .model = engine->manifest().model_name,
      .device = engine->device(),
      .load_seconds = engine->load_info().total_seconds(),
      .weights_seconds = engine->load_info().seconds("weights"),
      .weight_bytes = engine->memory().weights,
      .session_bytes = engine->memory().session,
      .peak_resident_bytes = PeakResidentBytes(),
      .device_bytes_used = figures.ok() ? figures->memory_used : 0,
      .read_bandwidth = figures.ok() ? figures->read_bytes_per_second : 0};
  const auto shown = flags.profile ? profiles : std::vector<StepProfile>{};
  std::fputs(FormatBench(conditions, measurements, shown, flags.format).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

Command BenchCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("bench", "Tokens per second of prefill and decode.");
  AddModelFlags(*parser, flags->model);
  parser->add_option("--prefill", flags->prefill, "Prompt lengths, separated by commas.")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  parser->add_option("--decode", flags->decode, "Numbers of decoded tokens, separated by commas.")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  parser->add_option("--depth", flags->depth, "Tokens in the context before, separated by commas.")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  parser
      ->add_option("--repetitions", flags->repetitions, "Measured runs of each, after one warm-up.")
      ->check(CLI::Range(1, 1000));
  const std::map<std::string, BenchFormat> formats = {{"table", BenchFormat::kTable},
                                                      {"markdown", BenchFormat::kMarkdown},
                                                      {"json", BenchFormat::kJson}};
  parser->add_option("--format", flags->format, "table, markdown or json.")
      ->transform(CLI::CheckedTransformer(formats, CLI::ignore_case));
  parser->add_flag("--profile", flags->profile,
                   "Also the time of every kind of step, run by itself (CUDA).");
  parser->add_flag("--dry_run", flags->dry_run, "Print the device and memory it takes, and end.");
  return {parser, [flags] { return RunBench(*flags); }};
}

}  // namespace gemma
