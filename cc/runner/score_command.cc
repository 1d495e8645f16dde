// score: what the model thinks of given tokens; one JSON line a position. Adds nothing to the tokens (no BOS).

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cc/base/status_macros.h"
#include "cc/runner/command.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/score_line.h"
#include "cc/runner/token_list.h"

namespace gemma {
namespace {

struct Flags {
  ModelFlags model;
  std::string tokens;
};

absl::Status Score(const Flags& flags) {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, ParseTokenList(flags.tokens));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, OpenEngine(flags.model));
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
  CLI::App* parser = root.add_subcommand("score", "Log-probabilities of given tokens, one JSON line a position.");
  AddModelFlags(*parser, flags->model);
  parser->add_option("--tokens", flags->tokens, "Token ids separated by commas; nothing is added to them.")->required();
  return {parser, [flags] { return Score(*flags); }};
}

}  // namespace gemma
