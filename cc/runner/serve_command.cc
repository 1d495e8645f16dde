// serve: answers over HTTP, in the words of OpenAI's and Anthropic's APIs (docs/serving.md). The
// first SIGTERM or Ctrl-C lets running answers end, the second one ends at once.

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/constraint_compiler.h"
#include "cc/runner/command.h"
#include "cc/runner/exit_code.h"
#include "cc/runner/flags.h"
#include "cc/runner/interrupt.h"
#include "cc/runner/model_flags.h"
#include "cc/runner/user_path.h"
#include "cc/server/api_keys.h"
#include "cc/server/server.h"

namespace gemma {
namespace {

struct Flags {
  server::ServerOptions server;
  ModelFlags model;
  std::string api_key_file;
  int64_t slots = 1;
  int64_t queue = 32;
  int64_t max_connections = 128;
  int64_t max_body_mb = 8;
  int64_t drain_seconds = 30;
};

absl::StatusOr<server::ApiKeys> ReadKeys(const Flags& flags) {
  if (flags.api_key_file.empty()) return server::ApiKeys();
  return server::ApiKeys::Read(UserPath(flags.api_key_file));
}

absl::Status CheckArtifact(const Engine& engine) {
  if (engine.tokenizer() == nullptr)
    return absl::FailedPreconditionError(
        "the artifact has no tokenizer, so it can neither read nor write text");
  if (engine.limits().can_generate) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the artifact has no methods prefill and decode, so it cannot generate");
}

std::string Address(const Flags& flags, const server::Server& server) {
  const std::string& host = flags.server.host;
  const bool ipv6 = host.find(':') != std::string::npos;
  return absl::StrCat("http://", ipv6 ? absl::StrCat("[", host, "]") : host, ":", server.port());
}

void WaitForSignal() {
  while (!Interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

absl::Status Drain(const Flags& flags, server::Server& server) {
  Note(flags.model, absl::StrCat("draining: answers that run have ", flags.drain_seconds,
                                 " s to end; a second signal ends at once"));
  if (server.Drain(std::chrono::seconds(flags.drain_seconds))) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("answers were cut, since they had not ended ", flags.drain_seconds,
                   " s after the signal (--drain_seconds gives them longer)"));
}

absl::Status RunServe(Flags& flags) {
  flags.server.slots = static_cast<size_t>(flags.slots);
  flags.server.queue = static_cast<size_t>(flags.queue);
  flags.server.connections = static_cast<size_t>(flags.max_connections);
  flags.server.body_bytes = static_cast<size_t>(flags.max_body_mb) << 20;
  flags.server.prefill_chunk = flags.model.prefill_chunk;
  GEMMA_ASSIGN_OR_RETURN(const server::ApiKeys keys, ReadKeys(flags));
  std::unique_ptr<Engine> engine;  // outlives the server, as do the constraints
  std::unique_ptr<ConstraintCompiler> constraints;
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<server::Server> server,
                         server::Server::Start(flags.server, keys));
  const std::string address = Address(flags, *server);
  Note(flags.model, absl::StrCat("listening on ", address, ", 503 until the model is loaded"));
  GEMMA_ASSIGN_OR_RETURN(engine, OpenEngine(flags.model, CheckArtifact));
  GEMMA_ASSIGN_OR_RETURN(constraints, MakeEngineConstraints(*engine));
  GEMMA_RETURN_IF_ERROR(server->Serve(*engine, constraints.get()));
  Note(flags.model, absl::StrCat("serving on ", address, keys.empty() ? ", without keys" : ""));
  WaitForSignal();
  return Drain(flags, *server);
}

CLI::Option* AddCount(CLI::App& parser, const std::string& name, int64_t& value, int64_t least,
                      int64_t most, const std::string& help) {
  return parser.add_option(name, value, help)
      ->check(CLI::Range(least, most))
      ->option_text(absl::StrCat("N [", value, "]"))
      ->group("Limits");
}

}  // namespace

Command ServeCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand(
      "serve", "Answers over HTTP, in the words of OpenAI's and Anthropic's APIs.");
  const std::string group = "Server";
  parser
      ->add_option("--host", flags->server.host,
                   "The address to listen on; other machines need another one than this.")
      ->option_text("ADDRESS [127.0.0.1]")
      ->group(group);
  parser->add_option("--port", flags->server.port, "0 takes a free one.")
      ->check(CLI::Range(0, 65535))
      ->option_text("N [8080]")
      ->group(group);
  parser
      ->add_option("--api_key_file", flags->api_key_file,
                   "Who may ask: one key a line, of 16 characters at least. Without it, everybody.")
      ->option_text("FILE")
      ->group(group);
  parser->add_option("--model_name", flags->server.model_name, "What clients call the model.")
      ->option_text("NAME [the artifact's]")
      ->group(group);
  AddCount(*parser, "--slots", flags->slots, 1, 64,
           "Answers that take turns on the model; each takes the memory of a session, and "
           "remembers a conversation.");
  AddCount(*parser, "--queue", flags->queue, 0, 10000, "Answers that wait; further ones are 429.");
  AddCount(*parser, "--max_connections", flags->max_connections, 2, 20000,
           "Connections at a time; further ones are 503.");
  AddCount(*parser, "--max_body_mb", flags->max_body_mb, 1, 1024, "MiB of a request's body.");
  AddCount(*parser, "--drain_seconds", flags->drain_seconds, 0, 86400,
           "Seconds that running answers have after SIGTERM.");
  AddModelFlags(*parser, flags->model);
  AddExamples(*parser, {"runner serve --model DIR",
                        "runner serve --model DIR --host 0.0.0.0 --api_key_file keys.txt"});
  return {parser, [flags] { return RunServe(*flags); }};
}

}  // namespace gemma
