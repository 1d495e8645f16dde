#include "cc/runner/prompt_flags.h"

#include <unistd.h>

#include <iostream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cc/base/file.h"
#include "cc/base/status_macros.h"
#include "cc/engine/prompt.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/user_path.h"

namespace gemma {
namespace {

constexpr uint64_t kMaxPromptBytes = 64 << 20;
constexpr char kGroup[] = "Prompt";
constexpr char kStdin[] = "-";

absl::StatusOr<std::string> ReadStdin() {
  std::string text;
  char piece[4096];
  while (std::cin.read(piece, sizeof(piece)), std::cin.gcount() > 0) {
    text.append(piece, static_cast<size_t>(std::cin.gcount()));
    if (text.size() > kMaxPromptBytes) {
      return UsageError(
          absl::StrCat("stdin has more than ", kMaxPromptBytes, " bytes (shorten the prompt)"));
    }
  }
  return std::string(absl::StripSuffix(text, "\n"));
}

}  // namespace

void AddTemplateFlags(CLI::App& parser, TemplateFlags& flags) {
  AddChoice(parser, "--chat_template", flags.chat_template,
            {"auto", "gemma3", "gemma4", "gemma4_april"},
            "How turns are marked; auto: as the checkpoint says.")
      ->group(kGroup);
  parser.add_option("--system", flags.system, "Instructions for the whole conversation.")
      ->option_text("TEXT")
      ->group(kGroup);
  parser
      .add_flag("--thinking", flags.thinking,
                "Let the model think first (gemma4); thoughts go to stderr.")
      ->group(kGroup);
}

std::optional<std::string> FindTemplate(const TemplateFlags& flags, const Engine& engine) {
  if (flags.chat_template != "auto") return flags.chat_template;
  const std::optional<ManifestTokenizer>& tokenizer = engine.manifest().tokenizer;
  return tokenizer.has_value() ? tokenizer->chat_template : std::nullopt;
}

absl::Status CheckNoForeignTemplate(const Engine& engine) {
  const std::optional<ManifestTokenizer>& tokenizer = engine.manifest().tokenizer;
  if (!tokenizer.has_value() || !tokenizer->chat_template_file.has_value()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the checkpoint's own chat template (", *tokenizer->chat_template_file,
      " of the artifact) is not one that this program renders (--chat_template gemma3, gemma4 or "
      "gemma4_april forces one of Google's; generate --raw continues a text)"));
}

void AddPromptFlags(CLI::App& parser, PromptFlags& flags) {
  parser.add_option("--prompt", flags.prompt, "The prompt; -: read it from stdin.")
      ->option_text("TEXT")
      ->group(kGroup);
  parser.add_option("--prompt_file", flags.prompt_file, "A file with the prompt; -: stdin.")
      ->option_text("FILE")
      ->group(kGroup);
  parser.add_flag("--raw", flags.raw, "Continue the prompt as it is, without the chat template.")
      ->group(kGroup);
  AddTemplateFlags(parser, flags.chat);
}

absl::Status CheckPromptFlags(const PromptFlags& flags) {
  if (flags.prompt.has_value() && flags.prompt_file.has_value())
    return UsageError("--prompt and --prompt_file were both given (leave one of them away)");
  const bool shapes_a_turn =
      flags.chat.thinking || !flags.chat.system.empty() || flags.chat.chat_template != "auto";
  if (flags.raw && shapes_a_turn) {
    return UsageError(
        "--raw takes the prompt as it is, so --thinking, --system and --chat_template cannot apply "
        "(leave one of them away)");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadPrompt(const PromptFlags& flags) {
  const bool asks_for_stdin = flags.prompt == kStdin || flags.prompt_file == kStdin;
  if (!asks_for_stdin && flags.prompt.has_value()) return *flags.prompt;
  if (!asks_for_stdin && flags.prompt_file.has_value())
    return ReadFile(UserPath(*flags.prompt_file), kMaxPromptBytes);
  std::string text;
  if (asks_for_stdin || isatty(STDIN_FILENO) == 0) {
    GEMMA_ASSIGN_OR_RETURN(text, ReadStdin());
  }
  if (!text.empty()) return text;
  return UsageError(
      asks_for_stdin
          ? "stdin is empty, so there is no prompt"
          : "there is no prompt (give --prompt TEXT or --prompt_file FILE, or pipe one in)");
}

absl::StatusOr<EncodedPrompt> EncodePrompt(const PromptFlags& flags, const Engine& engine,
                                           const std::string& text) {
  EncodedPrompt prompt;
  if (!flags.raw) prompt.chat_template = FindTemplate(flags.chat, engine);
  if (!prompt.chat_template.has_value()) {
    if (!flags.raw) GEMMA_RETURN_IF_ERROR(CheckNoForeignTemplate(engine));
    if (flags.chat.thinking || !flags.chat.system.empty()) {
      return absl::FailedPreconditionError(
          "the checkpoint has no chat template, so --system and --thinking cannot apply (force one "
          "with --chat_template gemma3 or gemma4)");
    }
    GEMMA_ASSIGN_OR_RETURN(prompt.tokens, MakeRawPrompt(engine, text));
    return prompt;
  }
  std::vector<Message> messages;
  if (!flags.chat.system.empty()) messages.push_back({Role::kSystem, flags.chat.system});
  messages.push_back({Role::kUser, text});
  GEMMA_ASSIGN_OR_RETURN(
      prompt.tokens, MakeChatPrompt(engine, *prompt.chat_template, messages, flags.chat.thinking));
  return prompt;
}

}  // namespace gemma
