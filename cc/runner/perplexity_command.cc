// perplexity: how well a model predicts a text, and how far it is from a reference that another
// model wrote of the same text (cc/runner/perplexity).

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/file.h"
#include "cc/base/status_macros.h"
#include "cc/engine/benchmark_info.h"
#include "cc/engine/prompt.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/log.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/perplexity/measure.h"
#include "cc/runner/perplexity/report.h"
#include "cc/runner/user_path.h"

namespace gemma {
namespace {

using perplexity::Measurement;
using perplexity::ReferenceReader;
using perplexity::Text;

constexpr uint64_t kMaxTextBytes = 256 << 20;
constexpr int64_t kLongestDefaultWindow = 2048;
constexpr double kSecondsBetweenReports = 1.0;

struct Flags {
  std::string text;
  std::string reference;
  std::string write_reference;
  int64_t window = 0;
  int64_t top_k = 1024;
  int64_t max_tokens = 0;
  std::string format = "table";
  ModelFlags model;
};

absl::Status CheckFlags(const Flags& flags) {
  if (flags.reference.empty() && flags.text.empty()) {
    return UsageError(
        "there is no text (name a FILE, or a --reference, which holds the text it was made of)");
  }
  if (flags.reference.empty()) return absl::OkStatus();
  if (!flags.text.empty() || !flags.write_reference.empty() || flags.window != 0 ||
      flags.max_tokens != 0) {
    return UsageError(
        "a --reference holds its text and its window, so FILE, --window, --max_tokens and "
        "--write_reference cannot apply (leave one of them away)");
  }
  return absl::OkStatus();
}

// The file's tokens, without BOS, and the window of the flags.
absl::StatusOr<Text> ReadText(const Flags& flags, const Engine& engine) {
  GEMMA_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(UserPath(flags.text), kMaxTextBytes));
  GEMMA_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, MakeRawPrompt(engine, bytes));
  const ManifestTokenizer& tokenizer = *engine.manifest().tokenizer;
  Text text = {.tokens = {}, .window = flags.window};
  if (tokenizer.add_bos) {
    text.bos_id = tokenizer.bos_id;
    if (!tokens.empty() && tokens[0] == text.bos_id) tokens.erase(tokens.begin());
  }
  const int64_t most = engine.limits().max_seq_len;
  if (text.window == 0) text.window = std::min(kLongestDefaultWindow, most);
  if (text.window > most) {
    return UsageError(absl::StrCat("--window ", text.window, " is more than the context of ", most,
                                   " tokens that this artifact has"));
  }
  if (flags.max_tokens > 0 && static_cast<int64_t>(tokens.size()) > flags.max_tokens)
    tokens.resize(static_cast<size_t>(flags.max_tokens));
  text.tokens = std::move(tokens);
  if (perplexity::CountPositions(text) > 0) return text;
  return UsageError(absl::StrCat(flags.text, " has ", text.tokens.size(),
                                 " tokens, of which none follows another (take a longer text)"));
}

absl::Status CheckArtifact(const Flags& flags, const Engine& engine) {
  if (engine.tokenizer() == nullptr && flags.reference.empty()) {
    return absl::FailedPreconditionError("the artifact has no tokenizer, so it cannot read a text");
  }
  const bool needs_logits = !flags.reference.empty() || !flags.write_reference.empty();
  if (needs_logits && !engine.limits().can_generate) {
    return absl::FailedPreconditionError(
        "the artifact has no methods prefill and decode, which a reference needs");
  }
  if (!needs_logits && !engine.limits().can_score)
    return absl::FailedPreconditionError("the artifact has no method score");
  return absl::OkStatus();
}

perplexity::MeasureProgress ReportProgress(const Flags& flags) {
  if (flags.model.quiet) return [](int64_t, int64_t) {};
  auto since_start = std::make_shared<Stopwatch>();
  auto since_report = std::make_shared<Stopwatch>();
  return [since_start, since_report](int64_t done, int64_t total) {
    if (since_report->Seconds() < kSecondsBetweenReports) return;
    since_report->Restart();
    LogProgress({.what = "perplexity",
                 .done = done,
                 .total = total,
                 .unit = "positions",
                 .seconds = since_start->Seconds()});
  };
}

void Print(const Flags& flags, const Measurement& measurement, int64_t top_k, int64_t vocab_size) {
  const auto report = flags.format == "json" ? perplexity::JsonReport : perplexity::TableReport;
  std::fputs(report(measurement, top_k, vocab_size).c_str(), stdout);
}

absl::StatusOr<Measurement> Measure(const Flags& flags, Engine& engine, const Text& text,
                                    ReferenceReader* reference) {
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(engine, flags.model));
  const auto progress = ReportProgress(flags);
  if (reference != nullptr) return perplexity::CompareWithReference(*session, *reference, progress);
  if (flags.write_reference.empty()) return perplexity::MeasureText(*session, text, progress);
  const int64_t vocab = engine.limits().vocab_size;
  return perplexity::WriteReference(*session, text, vocab, std::min(flags.top_k, vocab),
                                    UserPath(flags.write_reference), progress);
}

absl::Status RunPerplexity(const Flags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckFlags(flags));
  std::optional<ReferenceReader> reference;
  if (!flags.reference.empty()) {
    GEMMA_ASSIGN_OR_RETURN(reference, ReferenceReader::Open(UserPath(flags.reference)));
  }
  Text text;
  const auto check = [&](const Engine& engine) -> absl::Status {
    GEMMA_RETURN_IF_ERROR(CheckArtifact(flags, engine));
    const EngineLimits& limits = engine.limits();
    GEMMA_ASSIGN_OR_RETURN(
        text, reference.has_value()
                  ? perplexity::TextOf(*reference, limits.vocab_size, limits.max_seq_len)
                  : ReadText(flags, engine));
    return absl::OkStatus();
  };
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model, check));
  ReferenceReader* const compared = reference.has_value() ? &*reference : nullptr;
  GEMMA_ASSIGN_OR_RETURN(const Measurement measurement, Measure(flags, *engine, text, compared));
  Print(flags, measurement, compared == nullptr ? 0 : compared->header().top_k,
        engine->limits().vocab_size);
  return absl::OkStatus();
}

}  // namespace

Command PerplexityCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand(
      "perplexity", "How well a model predicts a text, and how far it is from another model.");
  const std::string group = "Text and reference";
  parser->add_option("file,--text", flags->text, "The text, as it is (no chat template).")
      ->option_text("FILE")
      ->group(group);
  AddTokenCount(*parser, "--window", flags->window, 0,
                "Tokens that are read together; 0: the context, 2k at most.")
      ->group(group);
  AddTokenCount(*parser, "--max_tokens", flags->max_tokens, 0,
                "Only so many tokens of the text; 0: all.")
      ->group(group);
  parser
      ->add_option("--write_reference", flags->write_reference,
                   "Write what this model says of the text; takes one call a token.")
      ->option_text("FILE")
      ->group(group);
  AddTokenCount(*parser, "--reference_top_k", flags->top_k, 1,
                "Most likely tokens that a written reference keeps of a position.")
      ->group(group);
  parser
      ->add_option("--reference", flags->reference,
                   "Compare with what another model has written of its text.")
      ->option_text("FILE")
      ->group(group);
  AddChoice(*parser, "--format", flags->format, {"table", "json"}, "How results are printed.")
      ->group(group);
  AddModelFlags(*parser, flags->model);
  parser->footer(
      "Every token but a window's first is a position; standard errors take positions as "
      "independent.\nKL is KL(reference || model) in nats, over top_k + 1 outcomes: the "
      "reference's top_k most likely tokens,\nand all others as one. That is at most the KL over "
      "the full vocabulary, and equal to it where --reference_top_k\nis the vocabulary's size when "
      "the "
      "reference is written. 8 bytes a token of top_k and position.\nExamples:\n"
      "  runner perplexity text.txt --model DIR\n"
      "  runner perplexity text.txt --model PLAIN --write_reference text.ref\n"
      "  runner perplexity --reference text.ref --model QUANTIZED");
  return {parser, [flags] { return RunPerplexity(*flags); }};
}

}  // namespace gemma
