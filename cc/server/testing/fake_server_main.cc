// A server before a model that says what a test has written down: for tests of what travels over
// HTTP, which need neither an artifact nor its speed. Prints "serving on http://HOST:PORT" on
// stderr and ends as `runner serve` does.
//
//   fake_server --answer 'Hello' --answer '<|channel>thought\nhm<channel|>Yes' --delay_ms 5
//
// Answers are given one after another; special tokens may be spelled out in them. After the last
// one, answers are empty. A token that a request's form forbids gives way to one that it allows.

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/constraint_compiler.h"
#include "cc/engine/fake_engine.h"
#include "cc/server/server.h"

namespace gemma {
namespace {

constexpr int32_t kEndOfTurn = 3;

std::atomic<bool> interrupted = false;

struct Flags {
  server::ServerOptions server = {.port = 0};
  std::vector<std::string> answers;
  std::string api_key_file;
  std::string fail;  // what the model's calls say instead of answering
  int64_t load_ms = 0;
  int64_t delay_ms = 0;
  int64_t drain_ms = 5000;
  int64_t max_seq_len = 1000;
  int64_t max_prefill_chunk = 64;
};

std::vector<std::string> Specials() {
  return {"<bos>",
          "<eos>",
          "<|turn>",
          "<turn|>",
          "<|think|>",
          "<|channel>",
          "<channel|>",
          "<|tool>",
          "<tool|>",
          "<|tool_call>",
          "<tool_call|>",
          "<|tool_response>",
          "<tool_response|>",
          "<|\"|>"};
}

absl::StatusOr<std::vector<int32_t>> DrawnTokens(const std::vector<std::string>& answers) {
  const FakeTokenizer tokenizer(Specials());
  std::vector<int32_t> tokens;
  for (const std::string& answer : answers) {
    GEMMA_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                           tokenizer.Encode(answer, {.parse_special = true}));
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    tokens.push_back(kEndOfTurn);
  }
  return tokens;
}

FakeEngineOptions OptionsOf(const Flags& flags, std::vector<int32_t> tokens) {
  FakeEngineOptions options;
  options.tokens = std::move(tokens);
  options.special = Specials();
  options.stop_ids = {kEndOfTurn, 1};
  options.chat_template = "gemma4";
  options.max_seq_len = flags.max_seq_len;
  options.max_prefill_chunk = flags.max_prefill_chunk;
  options.before_call = [flags] {
    std::this_thread::sleep_for(std::chrono::milliseconds(flags.delay_ms));
    return flags.fail.empty() ? absl::OkStatus() : absl::InternalError(flags.fail);
  };
  return options;
}

absl::Status Run(const Flags& flags) {
  server::ApiKeys keys;
  if (!flags.api_key_file.empty()) {
    GEMMA_ASSIGN_OR_RETURN(keys, server::ApiKeys::Read(flags.api_key_file));
  }
  GEMMA_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, DrawnTokens(flags.answers));
  FakeEngine engine(OptionsOf(flags, std::move(tokens)));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<server::Server> server,
                         server::Server::Start(flags.server, keys));
  std::fprintf(stderr, "listening on http://127.0.0.1:%d\n", server->port());
  std::this_thread::sleep_for(std::chrono::milliseconds(flags.load_ms));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<ConstraintCompiler> compiler,
                         MakeEngineConstraints(engine));
  GEMMA_RETURN_IF_ERROR(server->Serve(engine, compiler.get()));
  std::fprintf(stderr, "serving on http://127.0.0.1:%d\n", server->port());
  while (!interrupted) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (server->Drain(std::chrono::milliseconds(flags.drain_ms))) return absl::OkStatus();
  return absl::DeadlineExceededError("answers were cut");
}

int Main(int argc, char** argv) {
  std::signal(SIGTERM, [](int) { interrupted = true; });
  CLI::App app("A server before a model that says what a test has written down.");
  Flags flags;
  app.add_option("--answer", flags.answers)->take_all();
  app.add_option("--api_key_file", flags.api_key_file);
  app.add_option("--fail", flags.fail);
  app.add_option("--load_ms", flags.load_ms);
  app.add_option("--delay_ms", flags.delay_ms);
  app.add_option("--drain_ms", flags.drain_ms);
  app.add_option("--max_seq_len", flags.max_seq_len);
  app.add_option("--max_prefill_chunk", flags.max_prefill_chunk);
  app.add_option("--slots", flags.server.slots);
  app.add_option("--queue", flags.server.queue);
  app.add_option("--connections", flags.server.connections);
  app.add_option("--body_bytes", flags.server.body_bytes);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = Run(flags);
  if (!status.ok())
    std::fprintf(stderr, "fake_server: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace gemma

int main(int argc, char** argv) { return gemma::Main(argc, argv); }
