// The JSON line that `score` prints for one position.
#ifndef CC_RUNNER_SCORE_LINE_H_
#define CC_RUNNER_SCORE_LINE_H_

#include <cstdint>
#include <string>

#include "cc/engine/session.h"

namespace gemma {

// {"position":0,"token":2,"next_logprob":-1.5,"top_ids":[...],"top_logprobs":[...]};
// next_logprob is null where no token follows. Natural logarithms,
// with the digits that tell float32 numbers apart.
std::string ScoreLine(size_t position, int32_t token, const TokenScore& score);

}  // namespace gemma

#endif  // CC_RUNNER_SCORE_LINE_H_
