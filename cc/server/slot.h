// A slot: one session, what it holds, and the job that it works on. A new prompt that begins as the
// session's tokens do is computed from where it differs, if both are of one API key: nobody learns
// from `cached_tokens` or from the time what another one asked.
#ifndef CC_SERVER_SLOT_H_
#define CC_SERVER_SLOT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/engine/generation.h"
#include "cc/server/job.h"

namespace gemma::server {

class Slot {
 public:
  // `prefill_chunk` as in SessionOptions. The engine must outlive the slot.
  Slot(Engine& engine, int64_t prefill_chunk) : engine_(engine), prefill_chunk_(prefill_chunk) {}

  // Takes the memory of the session. Before Start.
  absl::Status Open();

  bool busy() const { return job_ != nullptr; }
  Job& job() const { return *job_; }

  // How many of the prompt's tokens the session holds at its beginning; requires !busy().
  size_t SharedTokens(const JobSpec& spec) const;

  // Takes a job; requires !busy().
  void Start(std::shared_ptr<Job> job);

  // One call of the model for the job. How the job ended; none while it goes on.
  std::optional<absl::Status> Step();

  // Asks the running Step to return soon, and the job to end with `why`.
  void Cut(const absl::Status& why);

  // Ends the job; the session keeps what it holds. Requires busy().
  void Release(absl::Status status);

 private:
  absl::Status BeginChoice();
  absl::StatusOr<bool> Advance();
  absl::StatusOr<size_t> KeepPrefix();
  void RememberTokens();

  Engine& engine_;
  const int64_t prefill_chunk_;
  std::atomic<bool> cancelled_ = false;  // of the running call
  std::unique_ptr<Session> session_;
  std::vector<int32_t> held_;  // the session's tokens, while no job runs
  std::string key_;            // whose they are
  std::shared_ptr<Job> job_;
  int64_t choice_ = 0;
  std::unique_ptr<Generation> generation_;  // of the choice; null before its first step
  absl::Status cut_;
};

}  // namespace gemma::server

#endif  // CC_SERVER_SLOT_H_
