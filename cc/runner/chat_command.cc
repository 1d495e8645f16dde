// chat: a conversation at the terminal. The answer streams;
// Ctrl-C stops it and keeps the conversation.

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/generation.h"
#include "cc/engine/prompt.h"
#include "cc/engine/token_prefix.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/prompt_flags.h"
#include "cc/runner/sampling_flags.h"

namespace gemma {
namespace {

constexpr char kHelp[] =
    "/clear starts a new conversation, /exit (or exit, or Ctrl-D) ends, // begins a message with a "
    "slash;\nCtrl-C stops an answer, and ends the chat at the empty prompt\n";

struct Flags {
  TemplateFlags chat;
  SamplingFlags sampling;
  ModelFlags model;
  int64_t max_new_tokens = 2048;
};

// What the conversation is held with.
struct Settings {
  const Flags& flags;
  std::string chat_template;
  SamplingParams sampling;
};

// Why an answer ended early, for people; empty where it did not.
std::string CutRemark(FinishReason reason, const Flags& flags, int64_t max_seq_len) {
  if (reason == FinishReason::kCancelled) return "(stopped)\n";
  if (reason == FinishReason::kMaxNewTokens) {
    return absl::StrCat("(cut at --max_new_tokens ", flags.max_new_tokens, ")\n");
  }
  if (reason == FinishReason::kContextFull) {
    return absl::StrCat("(cut: the context of ", max_seq_len,
                        " positions is full; /clear starts a new conversation)\n");
  }
  return "";
}

// The conversation and the session that holds it; `held` are the tokens of the session.
class Conversation {
 public:
  Conversation(Engine& engine, Session& session, const Settings& settings)
      : engine_(engine), session_(session), settings_(settings) {
    Clear();
  }

  void Clear() {
    messages_.clear();
    const std::string& system = settings_.flags.chat.system;
    if (!system.empty()) messages_.push_back({Role::kSystem, system});
  }

  // Appends the user's message and the model's answer,
  // which it prints. A message that fails is forgotten.
  absl::Status Say(const std::string& text) {
    messages_.push_back({Role::kUser, text});
    absl::StatusOr<std::string> answer = Answer();
    if (!answer.ok()) {
      messages_.pop_back();
      return answer.status();
    }
    messages_.push_back({Role::kModel, *std::move(answer)});
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::string> Answer() {
    GEMMA_ASSIGN_OR_RETURN(
        const std::vector<int32_t> prompt,
        MakeChatPrompt(engine_, settings_.chat_template, messages_, settings_.flags.chat.thinking));
    if (!CheckRoom(engine_.limits(), 0, prompt.size()).ok()) {
      return absl::OutOfRangeError(absl::StrCat("the conversation has ", prompt.size(),
                                                " tokens with this message, but the context of "
                                                "this artifact ends at ",
                                                engine_.limits().max_seq_len,
                                                " (/clear starts a new conversation)"));
    }
    GEMMA_ASSIGN_OR_RETURN(const size_t reused, KeepPrefix(session_, held_, prompt));
    held_.clear();  // unknown until the answer is complete
    std::string answer;
    const auto print = [&answer](const GeneratedText& text) {
      std::fputs(text.thought.c_str(), stderr);
      std::fputs(text.answer.c_str(), stdout);
      std::fflush(stdout);
      answer += text.answer;
    };
    GEMMA_ASSIGN_OR_RETURN(const GenerationResult result,
                           Generate(engine_, session_, std::span(prompt).subspan(reused),
                                    {.max_new_tokens = settings_.flags.max_new_tokens,
                                     .sampling = settings_.sampling,
                                     .stop_strings = {},
                                     .chat_template = settings_.chat_template,
                                     .cancelled = &Interrupted()},
                                    print));
    std::fputs("\n", stdout);
    std::fflush(stdout);
    std::fputs(CutRemark(result.reason, settings_.flags, engine_.limits().max_seq_len).c_str(),
               stderr);
    held_ = prompt;
    held_.insert(held_.end(), result.tokens.begin(), result.tokens.end());
    held_.resize(std::min<size_t>(held_.size(), session_.position()));
    return answer;
  }

  Engine& engine_;
  Session& session_;
  const Settings& settings_;
  std::vector<Message> messages_;
  std::vector<int32_t> held_;
};

// Whether the conversation goes on after this line of the user's.
absl::StatusOr<bool> Act(Conversation& conversation, const std::string& text) {
  if (text == "/exit" || text == "/quit" || text == "exit" || text == "quit") return false;
  if (text == "/clear") {
    conversation.Clear();
  } else if (text == "/help") {
    std::fputs(kHelp, stderr);
  } else if (text.starts_with("//")) {
    GEMMA_RETURN_IF_ERROR(conversation.Say(text.substr(1)));
  } else if (text.starts_with("/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown command ", text, " (/help lists them)"));
  } else {
    GEMMA_RETURN_IF_ERROR(conversation.Say(text));
  }
  return true;
}

// Reads lines until /exit or the end of the input. What fails is told, and the next line is read;
// where no person sees it, it also becomes the result.
absl::Status Converse(Conversation& conversation) {
  const bool person = isatty(STDIN_FILENO) != 0;
  int64_t lines = 0, failed = 0;
  std::string line;
  while (true) {
    std::fputs(person ? "> " : "", stderr);
    if (!std::getline(std::cin, line)) break;
    Interrupted() = false;
    const std::string text(absl::StripAsciiWhitespace(line));
    if (text.empty()) continue;
    ++lines;
    const absl::StatusOr<bool> goes_on = Act(conversation, text);
    if (!goes_on.ok()) {
      ++failed;
      std::fputs(absl::StrCat(goes_on.status().message(), "\n").c_str(), stderr);
    } else if (!*goes_on) {
      break;
    }
  }
  if (Interrupted()) return absl::CancelledError("interrupted");
  if (person || failed == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(failed, " of ", lines, " lines failed; their messages are above"));
}

absl::StatusOr<std::string> NeedTemplate(const Flags& flags, const Engine& engine) {
  if (engine.tokenizer() == nullptr) {
    return absl::FailedPreconditionError(
        "the artifact has no tokenizer, so it can score token ids but not read text");
  }
  const std::optional<std::string> found = FindTemplate(flags.chat, engine);
  if (found.has_value()) return *found;
  return absl::FailedPreconditionError(
      "the checkpoint has no chat template, as a base model has none (`generate` continues a text; "
      "--chat_template gemma3 or gemma4 forces a template)");
}

absl::Status RunChat(const Flags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckSamplingFlags(flags.sampling));
  Settings settings = {flags, "", {}};
  const auto check = [&](const Engine& engine) -> absl::Status {
    GEMMA_ASSIGN_OR_RETURN(settings.chat_template, NeedTemplate(flags, engine));
    settings.sampling = ResolveSampling(flags.sampling, engine.manifest());
    if (const std::string seed = DescribeSeed(settings.sampling); !seed.empty())
      Note(flags.model, seed);
    return MakeChatPrompt(engine, settings.chat_template, {{Role::kUser, "a"}}, flags.chat.thinking)
        .status();
  };
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model, check));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(*engine, flags.model));
  Conversation conversation(*engine, *session, settings);
  if (!flags.model.quiet) std::fputs(kHelp, stderr);
  return Converse(conversation);
}

}  // namespace

Command ChatCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("chat", "A conversation at the terminal.");
  AddTemplateFlags(*parser, flags->chat);
  AddTokenCount(*parser, "--max_new_tokens", flags->max_new_tokens, 1,
                "Tokens of an answer, at most.")
      ->group("Text");
  AddSamplingFlags(*parser, flags->sampling);
  AddModelFlags(*parser, flags->model);
  AddExamples(*parser, {"runner chat --model DIR --system \"Answer in one sentence.\""});
  return {parser, [flags] { return RunChat(*flags); }};
}

}  // namespace gemma
