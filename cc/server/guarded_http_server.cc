#include "cc/server/guarded_http_server.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

namespace gemma::server {
namespace {

// Threads that refuse connections over the limit; further ones are closed without a word.
constexpr size_t kSpareThreads = 8;
constexpr int kBacklog = 256;
constexpr char kBusy[] =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    "Content-Type: application/json\r\nContent-Length: 110\r\n\r\n"
    "{\"error\":{\"message\":\"too many connections are open\",\"type\":\"server_error\","
    "\"param\":null,\"code\":\"overloaded\"}}\r\n";

// What a client that is refused has sent is read, so that it gets the answer and no reset.
constexpr int kMaxDrainedReads = 16;
constexpr timeval kDrainWait = {.tv_sec = 0, .tv_usec = 200'000};

thread_local ReadDeadlines::Deadline* current_deadline = nullptr;

// A thread a connection, `most` at a time. httplib's own pool counts threads that it has just woken
// as idle, so that of many connections that come together some would wait until others end.
class ConnectionThreads final : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(size_t most) : most_(most) {}

  bool enqueue(std::function<void()> serve) override {
    std::lock_guard lock(mutex_);
    if (running_ >= most_) return false;
    try {
      std::thread([this, serve = std::move(serve)] {
        serve();
        End();
      }).detach();
    } catch (const std::system_error&) {  // no more threads can be had
      return false;
    }
    ++running_;
    return true;
  }

  void shutdown() override {
    std::unique_lock lock(mutex_);
    all_ended_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  void End() {
    std::lock_guard lock(mutex_);
    if (--running_ == 0) all_ended_.notify_all();
  }

  const size_t most_;
  std::mutex mutex_;
  std::condition_variable all_ended_;
  size_t running_ = 0;
};

void RefuseConnection(socket_t socket) {
  send(socket, kBusy, sizeof(kBusy) - 1, MSG_NOSIGNAL);
  shutdown(socket, SHUT_WR);
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &kDrainWait, sizeof(kDrainWait));
  char ignored[4096];
  for (int i = 0; i < kMaxDrainedReads; ++i) {
    if (recv(socket, ignored, sizeof(ignored), 0) <= 0) return;
  }
}

}  // namespace

ReadDeadlines::ReadDeadlines() : thread_([this] { Run(); }) {}

ReadDeadlines::~ReadDeadlines() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReadDeadlines::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const Clock::time_point now = Clock::now();
    Clock::time_point next = now + std::chrono::hours(1);
    for (Deadline* deadline : all_) {
      if (deadline->time_ <= now) {
        // Whoever reads sees the end of the stream; an answer may still be written.
        shutdown(deadline->socket_, SHUT_RD);
        deadline->time_ = Clock::time_point::max();
      }
      next = std::min(next, deadline->time_);
    }
    changed_.wait_until(lock, next);
  }
}

ReadDeadlines::Deadline::Deadline(ReadDeadlines& deadlines, socket_t socket)
    : deadlines_(deadlines), socket_(socket) {
  std::lock_guard lock(deadlines_.mutex_);
  place_ = deadlines_.all_.insert(deadlines_.all_.end(), this);
}

ReadDeadlines::Deadline::~Deadline() {
  std::lock_guard lock(deadlines_.mutex_);
  deadlines_.all_.erase(place_);
}

void ReadDeadlines::Deadline::Set(std::chrono::seconds from_now) {
  {
    std::lock_guard lock(deadlines_.mutex_);
    time_ = Clock::now() + from_now;
  }
  deadlines_.changed_.notify_one();
}

void ReadDeadlines::Deadline::Clear() {
  std::lock_guard lock(deadlines_.mutex_);
  time_ = Clock::time_point::max();
}

GuardedHttpServer::GuardedHttpServer(const ConnectionLimits& limits) : limits_(limits) {
  set_payload_max_length(limits.body_bytes);
  set_read_timeout(std::max(limits.head, limits.body));
  set_write_timeout(limits.write);
  set_keep_alive_timeout(limits.idle.count());
  set_tcp_nodelay(true);
  // httplib's own option would let two servers share a port without a word.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  const size_t most = limits.connections + kSpareThreads;
  new_task_queue = [most] { return new ConnectionThreads(most); };
}

void GuardedHttpServer::WidenBacklog() { ::listen(svr_sock_, kBacklog); }

void GuardedHttpServer::BodyIsThere() {
  if (current_deadline != nullptr) current_deadline->Clear();
}

bool GuardedHttpServer::process_and_close_socket(socket_t socket) {
  if (connections_.fetch_add(1) < limits_.connections) {
    Serve(socket);
  } else {
    RefuseConnection(socket);
  }
  --connections_;
  httplib::detail::shutdown_socket(socket);
  httplib::detail::close_socket(socket);
  return true;
}

// As httplib's own, with deadlines.
void GuardedHttpServer::Serve(socket_t socket) {
  std::string remote, local;
  int remote_port = 0, local_port = 0;
  httplib::detail::get_remote_ip_and_port(socket, remote, remote_port);
  httplib::detail::get_local_ip_and_port(socket, local, local_port);
  ReadDeadlines::Deadline deadline(deadlines_, socket);
  current_deadline = &deadline;
  httplib::detail::process_server_socket(
      svr_sock_, socket, keep_alive_max_count_, keep_alive_timeout_sec_, read_timeout_sec_,
      read_timeout_usec_, write_timeout_sec_, write_timeout_usec_,
      [&](httplib::Stream& stream, bool close_connection, bool& connection_closed) {
        deadline.Set(limits_.head);
        const bool ok = process_request(stream, remote, remote_port, local, local_port,
                                        close_connection, connection_closed,
                                        [&](httplib::Request&) { deadline.Set(limits_.body); });
        deadline.Clear();
        return ok;
      });
  current_deadline = nullptr;
}

}  // namespace gemma::server
