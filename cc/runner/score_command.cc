// score: what the model thinks of given tokens; one JSON line a position. Adds nothing to the
// tokens (no BOS).

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/score_line.h"
#include "cc/runner/token_list.h"

namespace gemma {
namespace {

struct Flags {
  std::string tokens;
  ModelFlags model;
};

// Before the weights are read.
absl::Status CheckTokens(const Engine& engine, const std::vector<int32_t>& tokens) {
  const EngineLimits& limits = engine.limits();
  if (!limits.can_score) {
    return absl::FailedPreconditionError("the artifact has no method score");
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < limits.vocab_size) continue;
    return UsageError(absl::StrCat("--tokens: entry ", i + 1, ", ", tokens[i],
                                   ", is not among the ", limits.vocab_size,
                                   " tokens of this artifact"));
  }
  return CheckRoom(limits, 0, tokens.size());
}

absl::Status ScoreTokens(const Flags& flags) {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, ParseTokenList(flags.tokens));
  const auto check = [&](const Engine& engine) { return CheckTokens(engine, tokens); };
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model, check));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenSession(*engine, flags.model));
  GEMMA_ASSIGN_OR_RETURN(const std::vector<TokenScore> scores, session->Score(tokens));
  for (size_t i = 0; i < scores.size(); ++i) {
    std::printf("%s\n", ScoreLine(i, tokens[i], scores[i]).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

Command ScoreCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser =
      root.add_subcommand("score", "Log-probabilities of given tokens, one JSON line a position.");
  parser
      ->add_option("--tokens", flags->tokens,
                   "Token ids separated by commas; nothing is added to them.")
      ->required()
      ->option_text("N,...")
      ->group("Text");
  AddModelFlags(*parser, flags->model);
  AddExamples(*parser, {"runner score --model DIR --tokens 2,105,2364"});
  return {parser, [flags] { return ScoreTokens(*flags); }};
}

}  // namespace gemma
