// What a session remembers between calls: its keys and values (in the memory of the executor that
// made it; see the subclasses) and how many positions it holds.
//
// Invariant: positions [0, length) are complete. Every cache still holds position p if p >= highest
// - capacity, where `highest` is the largest position count since the session was last empty: a
// rewound session cannot bring back what a ring has overwritten.
#ifndef CC_EXECUTOR_SESSION_STATE_H_
#define CC_EXECUTOR_SESSION_STATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "cc/plan/plan.h"

namespace gemma {

class SessionState {
 public:
  SessionState(std::vector<PlanCache> caches, int64_t max_context)
      : caches_(std::move(caches)), max_context_(max_context) {}
  virtual ~SessionState() = default;

  SessionState(const SessionState&) = delete;
  SessionState& operator=(const SessionState&) = delete;

  const std::vector<PlanCache>& caches() const { return caches_; }
  int64_t max_context() const { return max_context_; }
  int64_t length() const { return length_; }
  // Whose session this is; the model that made it sets it and refuses any other's.
  const void* owner() const { return owner_; }
  void set_owner(const void* owner) { owner_ = owner; }

  // Bytes of keys and values: as the plan says, where the executor does not store them otherwise.
  virtual uint64_t bytes() const;

  // Whether a call of `tokens` tokens may begin at position `start`: at the end, or earlier (which
  // forgets what follows). OutOfRange beyond the context or after the end; FailedPrecondition when
  // a sliding cache has already overwritten keys that position `start` needs.
  absl::Status CheckStart(int64_t start, int64_t tokens) const;

  // A call at a start that CheckStart allowed begins to write, and has succeeded. Between the two,
  // and after a call that failed, the session holds `start` positions.
  void Begin(int64_t start, int64_t tokens);
  void Commit(int64_t start, int64_t tokens);

  // Forgets all positions from `length` on. Fails like CheckStart.
  absl::Status Rewind(int64_t length);

 private:
  const std::vector<PlanCache> caches_;
  const int64_t max_context_;
  const void* owner_ = nullptr;
  int64_t length_ = 0;
  int64_t highest_ = 0;
};

}  // namespace gemma

#endif  // CC_EXECUTOR_SESSION_STATE_H_
