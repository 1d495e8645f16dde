// From what a client asks for to what the scheduler takes: the prompt's tokens, checked against the
// artifact's limits, and the options of the generation.
#ifndef CC_SERVER_MAKE_JOB_SPEC_H_
#define CC_SERVER_MAKE_JOB_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/engine/engine.h"
#include "cc/server/job.h"
#include "cc/server/text_request.h"
#include "cc/text/token_constraint.h"

namespace gemma::server {

// BadField for what the artifact cannot do; the code context_length_exceeded where prompt and
// answer do not fit. `compiler`: null where answers cannot be constrained.
absl::StatusOr<JobSpec> MakeJobSpec(const Engine& engine, const ConstraintCompiler* compiler,
                                    const TextRequest& request, std::string key);

// The prompt's tokens alone.
absl::StatusOr<std::vector<int32_t>> EncodePrompt(const Engine& engine, const TextRequest& request);

}  // namespace gemma::server

#endif  // CC_SERVER_MAKE_JOB_SPEC_H_
