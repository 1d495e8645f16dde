// bench: tokens per second of prefill and decode at given lengths and depths. Sampling is the
// argmax or the model's own; the tokens are pseudo-random and the same in every run. What was measured is printed
// whatever happens after it.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/status_macros.h"
#include "cc/engine/benchmark_info.h"
#include "cc/runner/bench_lengths.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/measurements.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/process_memory.h"

namespace gemma {
namespace {

struct Flags {
  BenchLengths lengths;
  ModelFlags model;
  int repetitions = 5;
  std::string format = "table";
  std::string sampling = "greedy";
  bool profile = false;
  bool dry_run = false;
};

// The argmax, or what a user of the model gets who asks for nothing else.
SamplingParams Sampling(const Flags& flags, const Engine& engine) {
  SamplingParams sampling;
  if (flags.sampling == "model") sampling = engine.manifest().sampling;
  sampling.seed = 1;  // the same draws in every run
  return sampling;
}

// Ids spread over the vocabulary: equal ones would read
// the same rows of the embedding again and again.
std::vector<int32_t> Tokens(int64_t count, int64_t vocab_size) {
  std::vector<int32_t> tokens(count);
  for (int64_t i = 0; i < count; ++i)
    tokens[i] = static_cast<int32_t>((17 + i * 7919) % vocab_size);
  return tokens;
}

// One engine with one session that every repetition starts from empty.
class Bench {
 public:
  Bench(Session& session, int64_t vocab_size, const SamplingParams& sampling)
      : session_(session), vocab_size_(vocab_size), sampling_(sampling) {}

  // Both leave the session at depth + tokens. Tokens per second.
  absl::StatusOr<double> Prefill(int64_t depth, int64_t tokens) {
    GEMMA_RETURN_IF_ERROR(Fill(depth));
    const std::vector<int32_t> prompt = Tokens(tokens, vocab_size_);
    const Stopwatch watch;
    GEMMA_RETURN_IF_ERROR(session_.Prefill(prompt, sampling_).status());
    return tokens / watch.Seconds();
  }

  absl::StatusOr<double> Decode(int64_t depth, int64_t tokens) {
    GEMMA_RETURN_IF_ERROR(Fill(depth));
    const std::vector<int32_t> inputs = Tokens(tokens, vocab_size_);
    const Stopwatch watch;
    for (const int32_t token : inputs)
      GEMMA_RETURN_IF_ERROR(session_.Decode(token, sampling_).status());
    return tokens / watch.Seconds();
  }

 private:
  absl::Status Fill(int64_t depth) {
    GEMMA_RETURN_IF_ERROR(session_.Rewind(0));
    if (depth == 0) return absl::OkStatus();
    return session_.Prefill(Tokens(depth, vocab_size_), sampling_).status();
  }

  Session& session_;
  const int64_t vocab_size_;
  const SamplingParams sampling_;
};

// One warm-up, then the repetitions.
absl::Status Repeat(Bench& bench, int repetitions, Measurement& m) {
  const auto measure = m.test == "prefill" ? &Bench::Prefill : &Bench::Decode;
  GEMMA_RETURN_IF_ERROR((bench.*measure)(m.depth, m.tokens).status());
  for (int i = 0; i < repetitions; ++i) {
    GEMMA_ASSIGN_OR_RETURN(const double speed, (bench.*measure)(m.depth, m.tokens));
    m.tokens_per_second.push_back(speed);
  }
  return absl::OkStatus();
}

// What is to be measured, in order.
std::vector<Measurement> PlanMeasurements(const BenchLengths& lengths) {
  std::vector<Measurement> planned;
  for (const int64_t depth : lengths.depth) {
    const auto add = [&](const char* test, const std::vector<int64_t>& counts) {
      for (const int64_t tokens : counts)
        planned.push_back(
            {.test = test, .tokens = tokens, .depth = depth, .tokens_per_second = {}});
    };
    add("prefill", lengths.prefill);
    add("decode", lengths.decode);
  }
  return planned;
}

// Bytes that a token at this depth reads; 0 for devices that cannot tell.
absl::StatusOr<double> BytesPerToken(Session& session, int64_t depth) {
  const absl::StatusOr<std::vector<StepTime>> kinds = session.Profile(depth, 1);
  if (absl::IsUnimplemented(kinds.status())) return 0;
  GEMMA_RETURN_IF_ERROR(kinds.status());
  double bytes = 0;
  for (const StepTime& kind : *kinds) bytes += static_cast<double>(kind.bytes_read);
  return bytes;
}

// A row is printed as soon as it is measured.
absl::Status MeasureAll(const Flags& flags, Bench& bench, Session& session, BenchReport& report) {
  for (Measurement& m : PlanMeasurements(flags.lengths)) {
    if (m.test == "decode") {
      GEMMA_ASSIGN_OR_RETURN(m.bytes_per_token, BytesPerToken(session, m.depth));
    }
    Note(flags.model, absl::StrCat("measuring ", m.test, " of ", m.tokens, " tokens at depth ",
                                   m.depth, ", ", flags.repetitions, " runs after a warm-up"));
    GEMMA_RETURN_IF_ERROR(Repeat(bench, flags.repetitions, m));
    report.Add(m);
  }
  return absl::OkStatus();
}

// Numbers of tokens that a call is profiled with:
// of decode, and of prompts as large as a call takes.
std::vector<int64_t> ProfiledTokens(const BenchLengths& lengths, int64_t max_chunk) {
  std::vector<int64_t> counts = {1};
  for (const int64_t tokens : lengths.prefill) {
    const int64_t count = std::min(tokens, max_chunk);
    if (std::find(counts.begin(), counts.end(), count) == counts.end()) counts.push_back(count);
  }
  return counts;
}

absl::Status ProfileAll(const Flags& flags, int64_t max_chunk, Session& session,
                        BenchReport& report) {
  if (!flags.profile) return absl::OkStatus();
  for (const int64_t tokens : ProfiledTokens(flags.lengths, max_chunk)) {
    for (const int64_t depth : flags.lengths.depth) {
      GEMMA_ASSIGN_OR_RETURN(std::vector<StepTime> kinds, session.Profile(depth, tokens));
      report.Add(StepProfile{depth, tokens, std::move(kinds)});
    }
  }
  return absl::OkStatus();
}

// Zeros say that it is not known: where a device cannot tell, or has no room for measuring.
absl::StatusOr<DeviceFigures> Figures(const Flags& flags, Engine& engine) {
  const absl::StatusOr<DeviceFigures> figures = engine.MeasureDevice();
  if (absl::IsUnimplemented(figures.status())) return DeviceFigures{};
  if (absl::IsResourceExhausted(figures.status())) {
    Note(flags.model, absl::StrCat("no read bandwidth: ", figures.status().message()));
    return DeviceFigures{};
  }
  return figures;
}

BenchConditions Conditions(const Flags& flags, const Engine& engine, const DeviceFigures& figures) {
  return {.model = engine.manifest().model_name,
          .device = engine.device(),
          .sampling = flags.sampling,
          .load_seconds = engine.load_info().total_seconds(),
          .weights_seconds = engine.load_info().seconds("weights"),
          .weight_bytes = engine.memory().weights,
          .session_bytes = engine.memory().session,
          .read_bandwidth = figures.read_bytes_per_second};
}

absl::Status Measure(const Flags& flags, Engine& engine) {
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(engine, flags.model));
  // What measuring takes of the host's memory is no part of what the model takes.
  const uint64_t peak_before = PeakResidentBytes();
  GEMMA_ASSIGN_OR_RETURN(const DeviceFigures figures, Figures(flags, engine));
  ForgetPeakResidentBytes();
  BenchReport report(FindFormat(flags.format), Conditions(flags, engine, figures),
                     [](const auto& text) {
                       std::fputs(text.c_str(), stdout);
                       std::fflush(stdout);
                     });
  Bench bench(*session, engine.limits().vocab_size, Sampling(flags, engine));
  absl::Status status = MeasureAll(flags, bench, *session, report);
  if (status.ok()) status = ProfileAll(flags, engine.limits().max_prefill_chunk, *session, report);
  const uint64_t peak = std::max(peak_before, PeakResidentBytes());
  const absl::StatusOr<DeviceFigures> after =
      figures.memory_total > 0 ? Figures(flags, engine) : figures;
  report.Finish(
      {.peak_resident_bytes = peak, .device_bytes_used = after.ok() ? after->memory_used : 0});
  return status.ok() ? after.status() : status;
}

absl::Status RunBench(Flags& flags) {
  if (flags.dry_run) return PrintMemoryEstimate(flags.model);
  const auto check = [&](const Engine& engine) -> absl::Status {
    GEMMA_ASSIGN_OR_RETURN(const std::string note,
                           FitLengths(engine.limits().max_seq_len, flags.lengths));
    if (!note.empty()) Note(flags.model, note);
    return absl::OkStatus();
  };
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model, check));
  return Measure(flags, *engine);
}

}  // namespace

Command BenchCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("bench", "Tokens per second of prefill and decode.");
  const std::string group = "What is measured";
  BenchLengths& lengths = flags->lengths;
  CLI::Option* prefill =
      AddTokenCounts(*parser, "--prefill", lengths.prefill, 1, "Prompt lengths.")->group(group);
  CLI::Option* decode =
      AddTokenCounts(*parser, "--decode", lengths.decode, 1, "Numbers of decoded tokens.")
          ->group(group);
  AddTokenCounts(*parser, "--depth", lengths.depth, 0, "Tokens in the context before.")
      ->group(group);
  parser
      ->add_option("--repetitions", flags->repetitions, "Measured runs of each, after one warm-up.")
      ->check(CLI::Range(1, 1000))
      ->option_text("N [5]")
      ->group(group);
  AddChoice(*parser, "--format", flags->format, {"table", "markdown", "json"},
            "How results are printed; json at the end, the others row by row.")
      ->group(group);
  AddChoice(*parser, "--sampling", flags->sampling, {"greedy", "model"},
            "greedy: the argmax; model: as the model's manifest says (top_k, top_p).")
      ->group(group);
  parser->add_flag("--profile", flags->profile, "Also the time of every kind of step.")
      ->group(group);
  AddModelFlags(*parser, flags->model);
  parser
      ->add_flag("--dry_run", flags->dry_run,
                 "Print the device, the memory it takes and whether that fits, and end.")
      ->group("Model and device");
  AddExamples(*parser, {"runner bench --model DIR --prefill 512,2k --decode 64 --depth 0,8k",
                        "runner bench --model DIR --format markdown --quiet"});
  return {parser, [flags, prefill, decode] {
            flags->lengths.prefill_given = prefill->count() > 0;
            flags->lengths.decode_given = decode->count() > 0;
            return RunBench(*flags);
          }};
}

}  // namespace gemma
