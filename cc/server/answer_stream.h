// One answer on a connection: waits for the job's events, notices a client that has left, and
// writes what the API says. Ends the job when it is destroyed before its end.
#ifndef CC_SERVER_ANSWER_STREAM_H_
#define CC_SERVER_ANSWER_STREAM_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/server/answer.h"
#include "cc/server/answer_writer.h"
#include "cc/server/backend.h"
#include "cc/server/job.h"
#include "cc/server/metrics.h"

namespace gemma::server {

class AnswerStream {
 public:
  // `has_left`: whether the client is gone.
  AnswerStream(std::shared_ptr<Backend> backend, std::shared_ptr<Job> job,
               std::unique_ptr<AnswerWriter> writer, std::function<bool()> has_left,
               Metrics& metrics);
  ~AnswerStream();

  // All of the answer. Cancelled when the client has left.
  absl::StatusOr<Json> Whole();

  // Some of the stream: waits for events, at most for a moment, and gives them to `send`, which
  // returns false where they cannot be sent. Whether the stream goes on.
  bool Pump(const std::function<bool(absl::string_view)>& send);
  // Whether all of it was sent.
  bool ended() const { return ended_; }

 private:
  // Adds the next event to the answer; none when a moment has passed without one.
  std::optional<JobEvent> Next();
  std::string TakeText();
  void Finish(bool left);

  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<Job> job_;
  const std::unique_ptr<AnswerWriter> writer_;
  const std::function<bool()> has_left_;
  Metrics& metrics_;
  Answer answer_;
  double first_token_seconds_ = -1;
  Job::Clock::time_point last_sent_ = Job::Clock::now();
  bool begun_ = false;
  bool finished_ = false;  // nothing more is sent
  bool ended_ = false;     // since all was
};

}  // namespace gemma::server

#endif  // CC_SERVER_ANSWER_STREAM_H_
