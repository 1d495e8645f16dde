// generate: a prompt to text. The text streams to stdout; what it took goes to stderr.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "cc/base/file.h"
#include "cc/base/status_macros.h"
#include "cc/engine/generation.h"
#include "cc/engine/prompt.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/process_memory.h"
#include "cc/runner/sampling_flags.h"

namespace gemma {
namespace {

constexpr uint64_t kMaxPromptBytes = 64 << 20;

struct Flags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string prompt;
  std::string prompt_file;
  std::string system;
  std::vector<std::string> stop;
  int64_t max_new_tokens = 512;
  bool raw = false;
  bool thinking = false;
  bool dry_run = false;
};

absl::StatusOr<std::string> ReadPrompt(const Flags& flags) {
  if (flags.prompt_file.empty()) return flags.prompt;
  return ReadFile(UserPath(flags.prompt_file), kMaxPromptBytes);
}

absl::StatusOr<std::vector<int32_t>> MakePrompt(const Flags& flags, const Engine& engine,
                                                const std::string& text) {
  if (flags.raw) return MakeRawPrompt(engine, text);
  std::vector<Message> messages;
  if (!flags.system.empty()) messages.push_back({Role::kSystem, flags.system});
  messages.push_back({Role::kUser, text});
  return MakeChatPrompt(engine, messages, flags.thinking);
}

void PrintText(const GeneratedText& text) {
  std::fputs(text.answer.c_str(), stdout);
  std::fflush(stdout);
  std::fputs(text.thought.c_str(), stderr);  // thoughts are not the answer
}

void PrintTimings(const Engine& engine, const GenerationResult& result) {
  std::string load;
  for (const BenchmarkInfo::Phase& phase : engine.load_info().phases()) {
    load += absl::StrFormat("%s%s %.2f", load.empty() ? "" : ", ", phase.name, phase.seconds);
  }
  const double prefill = result.prompt_tokens / std::max(result.prefill_seconds, 1e-9);
  const double decode = result.decode_calls / std::max(result.decode_seconds, 1e-9);
  std::fputs(
      absl::StrFormat("\nload    %8.2f s (%s)\n", engine.load_info().total_seconds(), load).c_str(),
      stderr);
  std::fputs(absl::StrFormat("prompt  %8.2f s, %d tokens, %.1f tokens/s\n", result.prefill_seconds,
                             result.prompt_tokens, prefill)
                 .c_str(),
             stderr);
  std::fputs(absl::StrFormat("decode  %8.2f s, %d new tokens, %.1f tokens/s, ended by %s\n",
                             result.decode_seconds, result.new_tokens, decode,
                             FinishReasonName(result.reason))
                 .c_str(),
             stderr);
  std::fputs(absl::StrFormat("memory  %8.1f MB peak resident; %s\n", PeakResidentBytes() / 1e6,
                             engine.device())
                 .c_str(),
             stderr);
}

absl::Status CheckFlags(const Flags& flags) {
  if (flags.raw && (flags.thinking || !flags.system.empty())) {
    return UsageError(
        "--raw takes the prompt as it is, so --thinking and --system cannot apply (leave one of "
        "them away)");
  }
  return CheckSamplingFlags(flags.sampling);
}

absl::Status RunGenerate(const Flags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckFlags(flags));
  if (flags.dry_run) return PrintMemoryPlan(flags.model);
  GEMMA_ASSIGN_OR_RETURN(const std::string text, ReadPrompt(flags));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model));
  GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, MakePrompt(flags, *engine, text));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(*engine, flags.model));
  const GenerationOptions options = {
      .max_new_tokens = flags.max_new_tokens,
      .sampling = ResolveSampling(flags.sampling, engine->manifest()),
      .stop_strings = flags.stop,
      .split_thoughts = !flags.raw,
      .cancelled = &Interrupted()};
  GEMMA_ASSIGN_OR_RETURN(const GenerationResult result,
                         Generate(*engine, *session, prompt, options, PrintText));
  std::fputs("\n", stdout);
  PrintTimings(*engine, result);
  if (result.reason == FinishReason::kCancelled) return absl::CancelledError("interrupted");
  return absl::OkStatus();
}

}  // namespace

Command GenerateCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("generate", "Writes text that follows a prompt.");
  AddModelFlags(*parser, flags->model);
  AddSamplingFlags(*parser, flags->sampling);
  CLI::Option_group* prompt = parser->add_option_group("prompt", "One of these:");
  prompt->add_option("--prompt", flags->prompt, "The prompt.");
  prompt->add_option("--prompt_file", flags->prompt_file, "A file with the prompt.");
  prompt->require_option(1);
  parser->add_option("--system", flags->system, "Instructions for the whole conversation.");
  parser->add_option("--stop", flags->stop,
                     "A text that ends the answer; may be given several times.");
  parser->add_option("--max_new_tokens", flags->max_new_tokens, "Tokens to write, at most.")
      ->check(CLI::PositiveNumber);
  parser->add_flag("--raw", flags->raw, "Continue the prompt as it is, without the chat template.");
  parser->add_flag("--thinking", flags->thinking,
                   "Let the model think first (Gemma 4); thoughts go to stderr.");
  parser->add_flag("--dry_run", flags->dry_run, "Print the device and memory it takes, and end.");
  return {parser, [flags] { return RunGenerate(*flags); }};
}

}  // namespace gemma
