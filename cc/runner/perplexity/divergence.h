// How far a model is from a reference at one position, and what many positions say together.
//
// The divergence is KL(reference || model), in nats, over top_k + 1 outcomes: the reference's top_k
// most likely tokens, and all other tokens as one ("the rest"):
//
//   KL = sum over the top_k tokens of P (log P - log Q)  +  P_rest (log P_rest - log Q_rest)
//
// Putting tokens together can only lower it (the log sum inequality), so this is at most the
// divergence over the full vocabulary, and equal to it where top_k is the vocabulary's size.
#ifndef CC_RUNNER_PERPLEXITY_DIVERGENCE_H_
#define CC_RUNNER_PERPLEXITY_DIVERGENCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gemma::perplexity {

// What a reference file keeps of a position; logarithms are natural.
struct ReferencePosition {
  float next_logprob = 0;       // of the token that follows
  float rest_logprob = 0;       // of all tokens but ids; -inf where there are none
  std::vector<uint32_t> ids;    // [top_k], most likely first; of equal ones the lower id first
  std::vector<float> logprobs;  // [top_k], of ids
};

// logits: [vocab_size]; 1 <= top_k <= vocab_size.
ReferencePosition Summarize(std::span<const float> logits, int32_t next, size_t top_k);

struct PositionDivergence {
  double kl = 0;          // nats
  bool same_top = false;  // whether the most likely token is the same
  double surprise = 0;    // -log Q of the token that follows
};

// logits: [vocab_size] of the model.
PositionDivergence Compare(const ReferencePosition& reference, std::span<const float> logits,
                           int32_t next);

// A mean, and its standard error where positions are taken as independent; NaN for fewer than two.
struct Estimate {
  double mean = 0;
  double error = 0;
};
Estimate EstimateMean(std::span<const double> values);

// The q-quantile, linear between neighbours; NaN for no values.
double Quantile(std::vector<double> values, double q);

}  // namespace gemma::perplexity

#endif  // CC_RUNNER_PERPLEXITY_DIVERGENCE_H_
