#include "cc/server/answer_stream.h"

#include <utility>

#include "absl/status/status.h"

namespace gemma::server {
namespace {

// How long a client that has left may go unnoticed.
constexpr std::chrono::milliseconds kMoment{20};
// A comment is sent where nothing else is for so long, as while a long prompt is computed: clients
// and proxies then know that somebody is there.
constexpr std::chrono::seconds kSilence{10};
constexpr absl::string_view kComment = ": waiting\n\n";

double SecondsSince(Job::Clock::time_point time) {
  return std::chrono::duration<double>(Job::Clock::now() - time).count();
}

}  // namespace

AnswerStream::AnswerStream(std::shared_ptr<Backend> backend, std::shared_ptr<Job> job,
                           std::unique_ptr<AnswerWriter> writer, std::function<bool()> has_left,
                           Metrics& metrics)
    : backend_(std::move(backend)),
      job_(std::move(job)),
      writer_(std::move(writer)),
      has_left_(std::move(has_left)),
      metrics_(metrics),
      answer_(job_->spec()) {}

AnswerStream::~AnswerStream() { Finish(/*left=*/true); }

void AnswerStream::Finish(bool left) {
  if (finished_) return;
  finished_ = true;
  if (left) backend_->scheduler->Cancel(*job_);
  metrics_.CountAnswer(answer_, left, first_token_seconds_, SecondsSince(job_->submitted()));
}

std::optional<JobEvent> AnswerStream::Next() {
  std::optional<JobEvent> event = job_->Next(kMoment);
  if (!event.has_value()) return event;
  if (event->step.token.has_value() && first_token_seconds_ < 0)
    first_token_seconds_ = SecondsSince(job_->submitted());
  answer_.Add(*job_, *event);
  return event;
}

absl::StatusOr<Json> AnswerStream::Whole() {
  while (!job_->done()) {
    Next();
    if (!has_left_()) continue;
    Finish(/*left=*/true);
    return absl::CancelledError("the client has left");
  }
  Finish(/*left=*/false);
  if (!job_->status().ok()) return job_->status();
  return writer_->Whole(answer_);
}

// What is there to send now.
std::string AnswerStream::TakeText() {
  std::string text;
  if (!std::exchange(begun_, true)) return writer_->Begin(answer_);
  std::optional<JobEvent> event = Next();
  if (event.has_value()) {
    text = writer_->Step(answer_, *event);
  } else if (job_->done()) {
    const absl::Status status = job_->status();
    text = status.ok() ? writer_->End(answer_) : writer_->Fail(answer_, ToApiError(status));
    Finish(/*left=*/false);
  } else if (Job::Clock::now() - last_sent_ > kSilence) {
    text = kComment;
  }
  return text;
}

bool AnswerStream::Pump(const std::function<bool(absl::string_view)>& send) {
  const std::string text = TakeText();
  if (!text.empty()) last_sent_ = Job::Clock::now();
  if (has_left_() || (!text.empty() && !send(text))) {
    Finish(/*left=*/true);
    return false;
  }
  ended_ = finished_;
  return !finished_;
}

}  // namespace gemma::server
