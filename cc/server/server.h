// The server: HTTP from the moment it starts, answers from the moment it has an engine, and an
// orderly end.
//
//   GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Server> server, Server::Start(options, keys));
//   ... load the engine; meanwhile /health is 503 ...
//   GEMMA_RETURN_IF_ERROR(server->Serve(*engine, compiler));
//   ... wait for a signal ...
//   const bool all_answered = server->Drain(std::chrono::seconds(30));
#ifndef CC_SERVER_SERVER_H_
#define CC_SERVER_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/server/api_keys.h"
#include "cc/text/token_constraint.h"

namespace gemma::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;              // 0: any that is free
  std::string model_name = "";  // as clients call it; empty: as the artifact does
  size_t slots = 1;             // answers that take turns, and conversations that are remembered
  size_t queue = 32;            // answers that wait
  int64_t prefill_chunk = 0;    // as in SessionOptions
  size_t connections = 128;
  size_t body_bytes = size_t{8} << 20;
};

class Server {
 public:
  // InvalidArgument for options that do not go together, Unavailable when the address cannot be
  // had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const ApiKeys& keys);
  // Ends what still runs.
  virtual ~Server() = default;

  virtual int port() const = 0;

  // Once. Both must outlive the server; `compiler`: null where answers cannot be constrained.
  // ResourceExhausted when there is no memory for the slots.
  virtual absl::Status Serve(Engine& engine, const ConstraintCompiler* compiler) = 0;

  // Takes no new work, waits for what runs, at most for `limit`, and stops. Whether everything was
  // answered; what was not has been told so.
  virtual bool Drain(std::chrono::milliseconds limit) = 0;
};

}  // namespace gemma::server

#endif  // CC_SERVER_SERVER_H_
