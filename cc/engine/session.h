// A conversation with the model: its keys and values, position by position. Sessions of one engine
// are independent of one another; each is used by one thread at a time.
//
//   GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, engine->NewSession({}));
//   GEMMA_ASSIGN_OR_RETURN(int32_t token, session->Prefill(prompt, sampling));
//   while (!stop.IsStopId(token)) {
//     ...
//     GEMMA_ASSIGN_OR_RETURN(token, session->Decode(token, sampling));
//   }
#ifndef CC_ENGINE_SESSION_H_
#define CC_ENGINE_SESSION_H_

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/executor/step_time.h"
#include "cc/kernels/sampling_params.h"

namespace gemma {

struct SessionOptions {
  // Tokens that Prefill and Score give to the model at a time; 0: as many as the artifact allows.
  int64_t prefill_chunk = 0;
  // When it becomes true, the running call stops soon, between two steps of the plan, with
  // Cancelled. Null: never.
  const std::atomic<bool>* cancelled = nullptr;
};

// What the model thinks of one position's next token.
struct TokenScore {
  float next_logprob = 0;           // natural logarithm; NaN where there was no next token
  std::vector<int32_t> top_ids;     // most likely first
  std::vector<float> top_logprobs;  // of top_ids
};

class Session {
 public:
  virtual ~Session() = default;

  // Positions held.
  virtual int64_t position() const = 0;

  // Appends the tokens (at least one) and draws the one that follows. OutOfRange, before anything
  // runs, when they do not fit the context. After an error the session holds the chunks that were
  // complete before it.
  virtual absl::StatusOr<int32_t> Prefill(std::span<const int32_t> tokens,
                                          const SamplingParams& sampling) = 0;

  // Appends one token and draws the next.
  virtual absl::StatusOr<int32_t> Decode(int32_t token, const SamplingParams& sampling) = 0;

  // Appends the tokens (at least one) without drawing. `logits` [vocab_size] gets those of the token
  // that follows, after softcap, suppressed ids at the lowest float32, for callers that draw
  // themselves (logits_sampler.h); where it is empty they are not computed. Errors as Prefill.
  virtual absl::Status Append(std::span<const int32_t> tokens, std::span<float> logits) = 0;

  // Appends the tokens and returns, for each, the log-probability of its successor among them and
  // the most likely ids.
  virtual absl::StatusOr<std::vector<TokenScore>> Score(std::span<const int32_t> tokens) = 0;

  // Forgets all positions from `position` on. FailedPrecondition when a sliding window has
  // overwritten what the tokens before it would need; position 0 is always possible.
  virtual absl::Status Rewind(int64_t position) = 0;

  // Takes the time of every kind of step of a call with `tokens` at `position`,
  // and then forgets everything. InvalidArgument for more tokens than a call takes;
  // Unimplemented on devices that cannot.
  virtual absl::StatusOr<std::vector<StepTime>> Profile(int64_t /*position*/, int64_t /*tokens*/) {
    return absl::UnimplementedError("this session cannot take the time of its steps");
  }
};

}  // namespace gemma

#endif  // CC_ENGINE_SESSION_H_
