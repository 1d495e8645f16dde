#include "cc/server/server.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/server/backend.h"
#include "cc/server/guarded_http_server.h"
#include "cc/server/http_api.h"
#include "cc/server/openai_answer.h"

namespace gemma::server {
namespace {

// How long the last bytes of answers may take once the model is done.
constexpr std::chrono::seconds kLastBytes{5};

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

ConnectionLimits LimitsOf(const ServerOptions& options) {
  ConnectionLimits limits;
  limits.connections = options.connections;
  limits.body_bytes = options.body_bytes;
  return limits;
}

class ServerImpl final : public Server {
 public:
  ServerImpl(const ServerOptions& options, const ApiKeys& keys)
      : options_(options),
        keys_(keys.size()),
        http_(LimitsOf(options)),
        api_(http_, keys, keys.empty() && IsLoopback(options.host)) {}

  ~ServerImpl() override {
    if (thread_.joinable()) Drain(std::chrono::milliseconds(0));
  }

  absl::Status Listen() {
    port_ = options_.port;
    bool bound = false;
    if (port_ == 0) {
      port_ = http_.bind_to_any_port(options_.host);
      bound = port_ > 0;
    } else {
      bound = http_.bind_to_port(options_.host, port_);
    }
    if (!bound) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", options_.host, ":", options_.port,
                       " (is another program there? --port 0 takes a free port)"));
    }
    http_.WidenBacklog();
    thread_ = std::thread([this] { http_.listen_after_bind(); });
    http_.wait_until_ready();
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  absl::Status Serve(Engine& engine, const ConstraintCompiler* compiler) override {
    GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Scheduler> scheduler,
                           Scheduler::Create(engine, {.slots = options_.slots,
                                                      .queue = options_.queue,
                                                      .keys = keys_,
                                                      .prefill_chunk = options_.prefill_chunk}));
    const std::string& own = engine.manifest().model_name;
    const std::string& name = options_.model_name.empty() ? own : options_.model_name;
    backend_ = std::shared_ptr<Backend>(
        new Backend{engine, compiler, name, UnixTime(), std::move(scheduler)});
    api_.SetBackend(backend_);
    return absl::OkStatus();
  }

  bool Drain(std::chrono::milliseconds limit) override {
    api_.SetDraining();
    const bool all = backend_ == nullptr || backend_->scheduler->Drain(limit);
    const auto end = std::chrono::steady_clock::now() + kLastBytes;
    while (api_.active() > 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    http_.stop();
    thread_.join();
    return all;
  }

 private:
  const ServerOptions options_;
  const size_t keys_;
  GuardedHttpServer http_;
  HttpApi api_;
  std::shared_ptr<Backend> backend_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const ApiKeys& keys) {
  if (options.connections <= options.slots + options.queue) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--max_connections ", options.connections, " is not more than --slots ", options.slots,
        " and --queue ", options.queue, " together, so that nobody could be told to come later"));
  }
  auto server = std::make_unique<ServerImpl>(options, keys);
  GEMMA_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace gemma::server
