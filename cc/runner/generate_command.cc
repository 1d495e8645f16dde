// generate: a prompt to text. The text streams to stdout. stderr has notes until it begins, the
// model's thoughts while it is written, and what it took once it has ended.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "cc/base/sizes.h"
#include "cc/base/status_macros.h"
#include "cc/engine/generation.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/log.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/process_memory.h"
#include "cc/runner/prompt_flags.h"
#include "cc/runner/prompt_progress.h"
#include "cc/runner/sampling_flags.h"

namespace gemma {
namespace {

struct Flags {
  PromptFlags prompt;
  SamplingFlags sampling;
  ModelFlags model;
  std::vector<std::string> stop;
  int64_t max_new_tokens = 512;
  bool echo = false;
  bool dry_run = false;
};

void PrintText(const GeneratedText& text) {
  std::fputs(text.answer.c_str(), stdout);
  std::fflush(stdout);
  if (!text.thought.empty()) LogThought(text.thought);  // which are not the answer
}

std::string Timings(const Engine& engine, const GenerationResult& result) {
  std::string phases;
  for (const BenchmarkInfo::Phase& phase : engine.load_info().phases()) {
    phases += absl::StrFormat("%s%s %.2f", phases.empty() ? "" : ", ", phase.name, phase.seconds);
  }
  const double prefill = result.prompt_tokens / std::max(result.prefill_seconds, 1e-9);
  const double decode = result.decode_calls / std::max(result.decode_seconds, 1e-9);
  return absl::StrFormat(
      "load    %8.2f s (%s)\n"
      "prompt  %8.2f s, %d tokens, %.1f tokens/s\n"
      "decode  %8.2f s, %d new tokens, %.1f tokens/s, ended by %s\n"
      "memory  %s peak resident; %s",
      engine.load_info().total_seconds(), phases, result.prefill_seconds, result.prompt_tokens,
      prefill, result.decode_seconds, result.new_tokens, decode, FinishReasonName(result.reason),
      FormatBytes(PeakResidentBytes()), engine.device());
}

absl::Status CheckFlags(const Flags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckPromptFlags(flags.prompt));
  if (std::find(flags.stop.begin(), flags.stop.end(), "") != flags.stop.end())
    return UsageError("--stop is empty, which would end the text before it begins");
  return CheckSamplingFlags(flags.sampling);
}

// Before the weights are read: all that the artifact's other files say about this call.
absl::Status CheckCall(const Engine& engine, const EncodedPrompt& prompt) {
  if (!engine.limits().can_generate) {
    return absl::FailedPreconditionError(
        "the artifact has no methods prefill and decode, so it cannot generate");
  }
  return CheckRoom(engine.limits(), 0, prompt.tokens.size());
}

// The prompt as the artifact's tokenizer has it, and a note where there is no template for it.
absl::StatusOr<EncodedPrompt> PreparePrompt(const Flags& flags, const Engine& engine,
                                            const std::string& text) {
  GEMMA_ASSIGN_OR_RETURN(EncodedPrompt prompt, EncodePrompt(flags.prompt, engine, text));
  GEMMA_RETURN_IF_ERROR(CheckCall(engine, prompt));
  if (!prompt.chat_template.has_value() && !flags.prompt.raw) {
    Note(flags.model,
         "prompt: continued as it is, since the checkpoint has no chat template (--chat_template "
         "gemma3 or gemma4 forces one, --raw says that this is meant)");
  }
  return prompt;
}

absl::Status Run(const Flags& flags, const std::string& text) {
  EncodedPrompt prompt;
  const auto check = [&](const Engine& engine) -> absl::Status {
    GEMMA_ASSIGN_OR_RETURN(prompt, PreparePrompt(flags, engine, text));
    return absl::OkStatus();
  };
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model, check));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(*engine, flags.model));
  const SamplingParams sampling = ResolveSampling(flags.sampling, engine->manifest());
  const GenerationOptions options = {.max_new_tokens = flags.max_new_tokens,
                                     .sampling = sampling,
                                     .stop_strings = flags.stop,
                                     .chat_template = prompt.chat_template,
                                     .cancelled = &Interrupted(),
                                     .prompt_chunk = flags.model.prefill_chunk,
                                     .prompt_progress = ReportPromptProgress(flags.model.quiet)};
  if (flags.echo) PrintText({text, ""});
  GEMMA_ASSIGN_OR_RETURN(const GenerationResult result,
                         Generate(*engine, *session, prompt.tokens, options, PrintText));
  std::fputs("\n", stdout);
  std::fflush(stdout);
  Note(flags.model, "\n" + Timings(*engine, result));
  if (const std::string seed = DescribeSeed(sampling); !seed.empty()) Note(flags.model, seed);
  if (result.reason == FinishReason::kCancelled) return absl::CancelledError("interrupted");
  return absl::OkStatus();
}

absl::Status RunGenerate(const Flags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckFlags(flags));
  if (flags.dry_run) return PrintMemoryEstimate(flags.model);
  GEMMA_ASSIGN_OR_RETURN(const std::string text, ReadPrompt(flags.prompt));
  return Run(flags, text);
}

}  // namespace

Command GenerateCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("generate", "Writes text that follows a prompt.");
  AddPromptFlags(*parser, flags->prompt);
  const std::string group = "Text";
  AddTokenCount(*parser, "--max_new_tokens", flags->max_new_tokens, 1, "Tokens to write, at most.")
      ->group(group);
  parser
      ->add_option("--stop", flags->stop,
                   "A text that ends the answer; may be given several times.")
      ->option_text("TEXT")
      ->take_all()
      ->group(group);
  parser->add_flag("--echo", flags->echo, "Write the prompt too, before the text.")->group(group);
  AddSamplingFlags(*parser, flags->sampling);
  AddModelFlags(*parser, flags->model);
  parser
      ->add_flag("--dry_run", flags->dry_run,
                 "Print the device, the memory it takes and whether that fits, and end.")
      ->group("Model and device");
  AddExamples(*parser, {"runner generate --model DIR --prompt \"Why is the sky blue?\"",
                        "runner generate --model DIR --prompt - --temperature 0 < question.txt"});
  return {parser, [flags] { return RunGenerate(*flags); }};
}

}  // namespace gemma
