// What perplexity prints: a table for people, or one JSON object.
#ifndef CC_RUNNER_PERPLEXITY_REPORT_H_
#define CC_RUNNER_PERPLEXITY_REPORT_H_

#include <string>

#include "cc/runner/perplexity/measure.h"

namespace gemma::perplexity {

// `top_k`, `vocab_size`: of the reference; 0 without one. The measurement has a position.
std::string TableReport(const Measurement& measurement, int64_t top_k, int64_t vocab_size);
std::string JsonReport(const Measurement& measurement, int64_t top_k, int64_t vocab_size);

}  // namespace gemma::perplexity

#endif  // CC_RUNNER_PERPLEXITY_REPORT_H_
