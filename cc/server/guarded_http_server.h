// httplib's server with what it lacks against hostile clients: a time limit on a whole request
// head and body, which per-read timeouts are not, and a limit on connections that answers 503.
//
// httplib gives a connection a thread. A connection over the limit is refused by a spare thread.
#ifndef CC_SERVER_GUARDED_HTTP_SERVER_H_
#define CC_SERVER_GUARDED_HTTP_SERVER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <list>
#include <mutex>
#include <thread>

#include "httplib.h"

namespace gemma::server {

struct ConnectionLimits {
  size_t connections = 128;             // at a time
  size_t body_bytes = size_t{8} << 20;  // of a request
  std::chrono::seconds head{10};        // from a request's first byte to the end of its head
  std::chrono::seconds body{30};        // from there to the end of its body
  std::chrono::seconds write{10};       // that a client may take nothing of an answer
  std::chrono::seconds idle{15};        // between two requests of a connection
};

// Ends the reading of sockets that take too long.
class ReadDeadlines {
 public:
  using Clock = std::chrono::steady_clock;

  // One connection's deadline; none at first.
  class Deadline {
   public:
    Deadline(ReadDeadlines& deadlines, socket_t socket);
    ~Deadline();
    void Set(std::chrono::seconds from_now);
    void Clear();

   private:
    friend class ReadDeadlines;
    ReadDeadlines& deadlines_;
    const socket_t socket_;
    Clock::time_point time_ = Clock::time_point::max();
    std::list<Deadline*>::iterator place_;
  };

  ReadDeadlines();
  ~ReadDeadlines();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Deadline*> all_;
  bool stopping_ = false;
  std::thread thread_;
};

class GuardedHttpServer final : public httplib::Server {
 public:
  explicit GuardedHttpServer(const ConnectionLimits& limits);

  // Once bound: connections that come at the same moment are not dropped.
  void WidenBacklog();

  // A handler says so when it begins: the body has come in time.
  static void BodyIsThere();

 private:
  bool process_and_close_socket(socket_t socket) override;
  void Serve(socket_t socket);

  const ConnectionLimits limits_;
  ReadDeadlines deadlines_;
  std::atomic<size_t> connections_ = 0;
};

}  // namespace gemma::server

#endif  // CC_SERVER_GUARDED_HTTP_SERVER_H_
