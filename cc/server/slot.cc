#include "cc/server/slot.h"

#include <algorithm>
#include <span>
#include <utility>

#include "cc/base/status_macros.h"
#include "cc/engine/token_prefix.h"

namespace gemma::server {

size_t Slot::SharedTokens(const JobSpec& spec) const {
  if (spec.key != key_) return 0;
  const size_t longest = std::min(held_.size(), spec.prompt.size());
  return std::mismatch(held_.begin(), held_.begin() + longest, spec.prompt.begin()).first -
         held_.begin();
}

void Slot::Start(std::shared_ptr<Job> job) {
  job_ = std::move(job);
  choice_ = 0;
  cut_ = absl::OkStatus();
  job_->SetCancelFlag(&cancelled_);
}

std::optional<absl::Status> Slot::Step() {
  if (generation_ == nullptr) {
    if (absl::Status status = BeginChoice(); !status.ok()) return status;
  }
  const absl::StatusOr<bool> ended = Advance();
  if (!ended.ok()) return ended.status();
  if (!*ended) return std::nullopt;
  RememberTokens();
  generation_.reset();
  if (++choice_ < job_->spec().choices) return std::nullopt;
  return absl::OkStatus();
}

absl::Status Slot::Open() {
  GEMMA_ASSIGN_OR_RETURN(
      session_, engine_.NewSession({.prefill_chunk = prefill_chunk_, .cancelled = &cancelled_}));
  return absl::OkStatus();
}

absl::Status Slot::BeginChoice() {
  const JobSpec& spec = job_->spec();
  GEMMA_ASSIGN_OR_RETURN(const size_t reused, KeepPrefix());
  if (choice_ == 0) job_->set_cached_tokens(static_cast<int64_t>(reused));
  GenerationOptions options = spec.options;
  options.sampling.seed += static_cast<uint64_t>(choice_);
  options.cancelled = &cancelled_;
  options.context = std::span(spec.prompt).first(reused);
  if (!spec.constraints.empty())
    options.constraint = spec.constraints[static_cast<size_t>(choice_)].get();
  GEMMA_ASSIGN_OR_RETURN(
      generation_,
      Generation::Create(engine_, *session_, {spec.prompt.begin() + reused, spec.prompt.end()},
                         std::move(options)));
  return absl::OkStatus();
}

// The session then holds a part of the prompt, and nothing else.
absl::StatusOr<size_t> Slot::KeepPrefix() {
  const JobSpec& spec = job_->spec();
  if (spec.key != key_) held_.clear();
  key_ = spec.key;
  GEMMA_ASSIGN_OR_RETURN(const size_t reused, gemma::KeepPrefix(*session_, held_, spec.prompt));
  held_.resize(reused);
  return reused;
}

// Whether the choice has ended.
absl::StatusOr<bool> Slot::Advance() {
  GEMMA_ASSIGN_OR_RETURN(GenerationStep step, generation_->Step());
  JobEvent event = {.choice = choice_, .step = std::move(step)};
  const bool ended = generation_->done();
  if (ended) event.end = generation_->result();
  const bool cancelled = ended && event.end->reason == FinishReason::kCancelled;
  job_->Push(std::move(event));
  if (cancelled) return absl::CancelledError("the client has left");
  return ended;
}

void Slot::Cut(const absl::Status& why) {
  cut_ = why;
  job_->Cancel();
}

// What the session holds: as much of prompt and answer as it has positions.
void Slot::RememberTokens() {
  held_ = job_->spec().prompt;
  const std::vector<int32_t>& drawn = generation_->result().tokens;
  held_.insert(held_.end(), drawn.begin(), drawn.end());
  held_.resize(std::min(held_.size(), static_cast<size_t>(session_->position())));
}

void Slot::Release(absl::Status status) {
  if (generation_ != nullptr) RememberTokens();
  generation_.reset();
  job_->SetCancelFlag(nullptr);
  job_->End(status.ok() || cut_.ok() ? std::move(status) : cut_);
  job_.reset();
  cancelled_ = false;
}

}  // namespace gemma::server
