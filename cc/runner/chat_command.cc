// chat: a conversation at the terminal, or with lines that are piped in. What it does is in
// cc/runner/chat; this file makes it from the flags.

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/runner/chat/conversation.h"
#include "cc/runner/chat/editing_terminal.h"
#include "cc/runner/chat/loop.h"
#include "cc/runner/chat/plain_terminal.h"
#include "cc/runner/command.h"
#include "cc/runner/flags.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/prompt_flags.h"
#include "cc/runner/prompt_progress.h"
#include "cc/runner/sampling_flags.h"
#include "cc/runner/user_path.h"

namespace gemma {
namespace {

constexpr char kNoHistory[] = "none";

struct Flags {
  TemplateFlags chat;
  SamplingFlags sampling;
  ModelFlags model;
  int64_t max_new_tokens = 2048;
  std::string history;
  bool hide_thoughts = false;
};

absl::StatusOr<std::string> NeedTemplate(const Flags& flags, const Engine& engine) {
  if (engine.tokenizer() == nullptr) {
    return absl::FailedPreconditionError(
        "the artifact has no tokenizer, so it can score token ids but not read text");
  }
  const std::optional<std::string> found = FindTemplate(flags.chat, engine);
  if (found.has_value()) return *found;
  GEMMA_RETURN_IF_ERROR(CheckNoForeignTemplate(engine));
  return absl::FailedPreconditionError(
      "the checkpoint has no chat template, as a base model has none (`generate` continues a text; "
      "--chat_template gemma3 or gemma4 forces a template)");
}

// Where lines are remembered when nobody says it: what a program may keep of a user, by the XDG base
// directory specification. Empty without a home.
std::string DefaultHistory() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state != 0) return absl::StrCat(state, "/gemma_runner/chat_history");
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == 0) return "";
  return absl::StrCat(home, "/.local/state/gemma_runner/chat_history");
}

absl::StatusOr<std::unique_ptr<chat::Terminal>> OpenTerminal(const Flags& flags) {
  if (!chat::CanEdit()) return chat::MakePlainTerminal(flags.model.quiet);
  if (flags.history == kNoHistory) return chat::MakeEditingTerminal("", flags.model.quiet);
  return chat::MakeEditingTerminal(
      flags.history.empty() ? DefaultHistory() : UserPath(flags.history), flags.model.quiet);
}

chat::Settings InitialSettings(const Flags& flags, const Manifest& manifest) {
  return {.sampling = ResolveSampling(flags.sampling, manifest),
          .max_new_tokens = flags.max_new_tokens,
          .thinking = flags.chat.thinking,
          .shows_thoughts = !flags.hide_thoughts};
}

absl::Status RunChat(const Flags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckSamplingFlags(flags.sampling));
  std::string chat_template;
  chat::Settings settings;
  const auto check = [&](const Engine& engine) -> absl::Status {
    GEMMA_ASSIGN_OR_RETURN(chat_template, NeedTemplate(flags, engine));
    settings = InitialSettings(flags, engine.manifest());
    if (const std::string seed = DescribeSeed(settings.sampling); !seed.empty())
      Note(flags.model, seed);
    return MakeChatPrompt(engine, chat_template, {{Role::kUser, "a"}}, flags.chat.thinking)
        .status();
  };
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<chat::Terminal> terminal, OpenTerminal(flags));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model, check));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(*engine, flags.model));
  chat::Conversation conversation(*engine, *session,
                                  {.chat_template = chat_template,
                                   .prefill_chunk = flags.model.prefill_chunk,
                                   .cancelled = &Interrupted(),
                                   .progress = ReportPromptProgress(flags.model.quiet)});
  conversation.SetSystem(flags.chat.system);
  terminal->Tell(chat::DescribeModel(*engine));
  terminal->Tell("/help lists the commands");
  chat::Loop loop(*engine, conversation, *terminal, Interrupted(),
                  {.settings = settings, .user_path = UserPath});
  return loop.Run();
}

}  // namespace

Command ChatCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("chat", "A conversation at the terminal.");
  AddTemplateFlags(*parser, flags->chat);
  const std::string group = "Text";
  AddTokenCount(*parser, "--max_new_tokens", flags->max_new_tokens, 1,
                "Tokens of an answer, at most.")
      ->group(group);
  parser->add_flag("--hide_thoughts", flags->hide_thoughts, "Do not show what the model thinks.")
      ->group(group);
  parser
      ->add_option("--history", flags->history,
                   "Where typed lines are remembered; none: nowhere. Only at a terminal.")
      ->option_text("FILE [in $XDG_STATE_HOME]")
      ->group(group);
  AddSamplingFlags(*parser, flags->sampling);
  AddModelFlags(*parser, flags->model);
  AddExamples(*parser, {"runner chat --model DIR --system \"Answer in one sentence.\""});
  return {parser, [flags] { return RunChat(*flags); }};
}

}  // namespace gemma
