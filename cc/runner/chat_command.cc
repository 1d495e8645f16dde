// chat: a conversation at the terminal. The answer streams; Ctrl-C stops it and keeps the conversation.

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
#include "cc/runner/command.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/sampling_flags.h"
#include "cc/runner/token_prefix.h"

namespace gemma {
namespace {

constexpr char kHelp[] = "/clear starts a new conversation, /exit (or Ctrl-D) ends, Ctrl-C stops an answer\n";

struct Flags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string system;
  int64_t max_new_tokens = 2048;
  bool thinking = false;
};

// The conversation and the session that holds it; `held` are the tokens of the session.
class Conversation {
 public:
  Conversation(Engine& engine, Session& session, const Flags& flags, SamplingParams sampling)
      : engine_(engine), session_(session), flags_(flags), sampling_(sampling) {
    Clear();
  }

  void Clear() {
    messages_.clear();
    if (!flags_.system.empty()) messages_.push_back({Role::kSystem, flags_.system});
  }

  // Appends the user's message and the model's answer, which it prints. A message that fails is forgotten.
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
    GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, MakeChatPrompt(engine_, messages_, flags_.thinking));
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
                                    {.max_new_tokens = flags_.max_new_tokens,
                                     .sampling = sampling_,
                                     .stop_strings = {},
                                     .split_thoughts = true,
                                     .cancelled = &Interrupted()},
                                    print));
    std::fputs("\n", stdout);
    if (result.reason == FinishReason::kCancelled) std::fputs("(stopped)\n", stderr);
    held_ = prompt;
    held_.insert(held_.end(), result.tokens.begin(), result.tokens.end());
    held_.resize(std::min<size_t>(held_.size(), session_.position()));
    return answer;
  }

  Engine& engine_;
  Session& session_;
  const Flags& flags_;
  const SamplingParams sampling_;
  std::vector<Message> messages_;
  std::vector<int32_t> held_;
};

// Reads lines until /exit or the end of the input.
absl::Status Converse(Conversation& conversation) {
  std::string line;
  while (true) {
    std::fputs("> ", stderr);
    if (!std::getline(std::cin, line)) return absl::OkStatus();
    Interrupted() = false;
    const std::string text(absl::StripAsciiWhitespace(line));
    if (text.empty()) continue;
    if (text == "/exit") return absl::OkStatus();
    if (text == "/clear") {
      conversation.Clear();
    } else if (text.front() == '/') {
      std::fputs(kHelp, stderr);
    } else if (const absl::Status status = conversation.Say(text); !status.ok()) {
      std::fputs(absl::StrCat(status.message(), "\n").c_str(), stderr);
    }
  }
}

absl::Status RunChat(const Flags& flags) {
  GEMMA_RETURN_IF_ERROR(CheckSamplingFlags(flags.sampling));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model));
  GEMMA_RETURN_IF_ERROR(MakeChatPrompt(*engine, {{Role::kUser, "a"}}, flags.thinking).status());
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(*engine, flags.model));
  Conversation conversation(*engine, *session, flags, ResolveSampling(flags.sampling, engine->manifest()));
  std::fputs(kHelp, stderr);
  return Converse(conversation);
}

}  // namespace

Command ChatCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("chat", "A conversation at the terminal.");
  AddModelFlags(*parser, flags->model);
  AddSamplingFlags(*parser, flags->sampling);
  parser->add_option("--system", flags->system, "Instructions for the whole conversation.");
  parser->add_option("--max_new_tokens", flags->max_new_tokens, "Tokens of an answer, at most.")
      ->check(CLI::PositiveNumber);
  parser->add_flag("--thinking", flags->thinking, "Let the model think first (Gemma 4); thoughts go to stderr.");
  return {parser, [flags] { return RunChat(*flags); }};
}

}  // namespace gemma
