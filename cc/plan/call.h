// One call of a method: its inputs and results as plain data,
// and the checks that stand between a caller and the kernels.
// The tensors of docs/formats.md, "Methods", are mapped to these by gemma_delegate.
#ifndef CC_PLAN_CALL_H_
#define CC_PLAN_CALL_H_

#include <atomic>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "cc/kernels/operations.h"
#include "cc/plan/plan.h"

namespace gemma {

struct Call {
  std::span<const int64_t> tokens;  // 1 to the plan's max_tokens
  int64_t start = 0;                // position of the first token
  bool emit = true;                 // prefill, decode: draw a token
  SamplingParams sampling;
  std::span<const int64_t> targets;  // score: as many as tokens; -1 for none
  // Looked at between steps; null: the call cannot be cancelled.
  const std::atomic<bool>* cancelled = nullptr;
};

// Where results go; the memory is the caller's.
struct CallResults {
  int64_t* token = nullptr;  // prefill, decode: the drawn id; -1 without emit
  // prefill, decode: [vocab], what the token was drawn from, suppressed ids at the lowest float32;
  // empty where nobody asks. Unspecified without emit.
  std::span<float> logits = {};
  std::span<float> logprobs = {};      // score: [tokens]
  std::span<int64_t> top_ids = {};     // score: [tokens, top]
  std::span<float> top_logprobs = {};  // score: [tokens, top]
};

// The position of the token that the call draws.
inline uint64_t DrawnPosition(const Call& call) {
  return static_cast<uint64_t>(call.start) + call.tokens.size();
}

// Whether the plan's vocabulary has these ids and others: something must be left to draw.
absl::Status CheckSuppressedIds(const Plan& plan, std::span<const int32_t> ids);

// Token counts, ids, targets, sampling and the results' sizes against the plan.
absl::Status CheckCall(const Plan& plan, const Call& call, const CallResults& results);

}  // namespace gemma

#endif  // CC_PLAN_CALL_H_
