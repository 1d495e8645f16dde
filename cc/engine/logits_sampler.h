// Draws a token on the host, for answers that need more than the device's sampler does: penalties,
// biases, a constraint on the tokens, or the log-probabilities of what was drawn. The draw itself
// is the device's rule (sampling_params.h), so that without any of these it gives the same token.
//
//   GEMMA_RETURN_IF_ERROR(session.Append(tokens, logits));
//   GEMMA_ASSIGN_OR_RETURN(const DrawnToken drawn,
//                          sampler.Draw(logits, session.position(), constraint));
#ifndef CC_ENGINE_LOGITS_SAMPLER_H_
#define CC_ENGINE_LOGITS_SAMPLER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/kernels/sampling_params.h"
#include "cc/text/token_constraint.h"

namespace gemma {

inline constexpr int kMaxTopLogprobs = 20;

// How the logits are changed before the draw, in this order:
//   repetition_penalty r: l > 0 ? l / r : l * r, for each id of the prompt and the answer so far
//                         (Keskar et al., "CTRL", 2019, section 4.1; as in transformers);
//   frequency and presence penalties f, p: l - f * (times in the answer so far) - p (once there);
//   logit_bias b: l + b.
struct LogitsChanges {
  float repetition_penalty = 1;                            // 1: off; more than 0, at most 100
  float frequency_penalty = 0;                             // -2 to 2
  float presence_penalty = 0;                              // -2 to 2
  std::vector<std::pair<int32_t, float>> logit_bias = {};  // id, -100 to 100
  // Log-probabilities of the drawn token and of so many of the most likely ones, at most
  // kMaxTopLogprobs; none: not computed. They are the model's own: natural logarithms of the
  // softmax of the logits before any change, temperature or filter.
  std::optional<int> top_logprobs = std::nullopt;

  // Whether the device's sampler will do.
  bool IsNone() const {
    return repetition_penalty == 1 && frequency_penalty == 0 && presence_penalty == 0 &&
           logit_bias.empty() && !top_logprobs.has_value();
  }
};

// InvalidArgument with the name, the value and what is allowed.
absl::Status CheckLogitsChanges(const LogitsChanges& changes, int64_t vocab_size);

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

struct DrawnToken {
  int32_t id = 0;
  float logprob = 0;              // 0 where top_logprobs is none
  std::vector<TokenLogprob> top;  // most likely first; of equals, the lower id first
};

class LogitsSampler {
 public:
  // `prompt`: what repetition_penalty counts beside the answer. The parameters have been checked.
  static absl::StatusOr<std::unique_ptr<LogitsSampler>> Create(const SamplingParams& sampling,
                                                               const LogitsChanges& changes,
                                                               int64_t vocab_size,
                                                               std::span<const int32_t> prompt);
  ~LogitsSampler();

  // Draws the token at `position` from `logits` [vocab_size], which are changed, and counts it as
  // part of the answer. `constraint`, which is told of the token, may be null. Internal when the
  // logits are broken (NaN or infinite).
  absl::StatusOr<DrawnToken> Draw(std::span<float> logits, int64_t position,
                                  TokenConstraint* constraint);

 private:
  struct Device;  // the CPU's kernels and their memory

  LogitsSampler(const SamplingParams& sampling, const LogitsChanges& changes, int64_t vocab_size);

  void Change(std::span<float> logits) const;
  int32_t DrawIndex(std::span<const float> logits, int64_t position);
  void GatherAllowed(std::span<const float> logits);
  void TakeLogprobs(std::span<const float> logits, DrawnToken& drawn) const;

  const SamplingParams sampling_;
  const LogitsChanges changes_;
  std::unique_ptr<Device> device_;
  absl::flat_hash_map<int32_t, int64_t> seen_;   // times in prompt and answer
  absl::flat_hash_map<int32_t, int64_t> drawn_;  // times in the answer
  std::vector<float> unchanged_;                 // [vocab_size], for log-probabilities
  std::vector<uint32_t> mask_;
  std::vector<float> allowed_;  // the logits of the tokens that mask_ allows, ids ascending
};

}  // namespace gemma

#endif  // CC_ENGINE_LOGITS_SAMPLER_H_
