// The routes: which path and method does what, for whom, and how errors are told. Nothing of the
// model is known here but the Backend, which comes later: until then everything but the
// web chat, /health and /metrics is 503.
#ifndef CC_SERVER_HTTP_API_H_
#define CC_SERVER_HTTP_API_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/server/api_keys.h"
#include "cc/server/backend.h"
#include "cc/server/guarded_http_server.h"
#include "cc/server/json_body.h"
#include "cc/server/metrics.h"
#include "cc/server/text_request.h"

namespace gemma::server {

class HttpApi {
 public:
  // Adds the routes to `server`. `only_local_names`: whether a request's Host must be an address or
  // localhost, as it is where a browser was not led here by a name that somebody else controls.
  HttpApi(GuardedHttpServer& server, ApiKeys keys, bool only_local_names);

  void SetBackend(std::shared_ptr<Backend> backend);
  // From now on new work is refused; /health says so.
  void SetDraining() { draining_ = true; }
  // Requests that are being answered.
  int active() const { return active_.load(); }

 private:
  struct Api;  // how one API parses and writes
  using Handler = std::function<absl::StatusOr<Json>(const httplib::Request&, Backend&)>;

  void AddModelRoutes();
  void AddTokenRoutes();
  void AddStateRoutes();
  void AddAnswerRoute(const char* path, const Api& api);
  void AddJsonRoute(bool post, const char* path, Handler handler);

  httplib::Server::HandlerResponse Admit(const httplib::Request& request,
                                         httplib::Response& response);
  absl::Status CheckClient(const httplib::Request& request) const;
  std::string KeyOf(const httplib::Request& request) const;
  absl::StatusOr<std::shared_ptr<Backend>> FindBackend() const;

  absl::Status Answer(const Api& api, const httplib::Request& request, httplib::Response& response);
  void Refuse(const absl::Status& status, const httplib::Request& request,
              httplib::Response& response) const;

  GuardedHttpServer& server_;
  const ApiKeys keys_;
  const bool only_local_names_;
  Metrics metrics_;
  mutable std::mutex mutex_;
  std::shared_ptr<Backend> backend_;  // null while the model is loaded
  std::atomic<bool> draining_ = false;
  std::atomic<int> active_ = 0;
};

}  // namespace gemma::server

#endif  // CC_SERVER_HTTP_API_H_
