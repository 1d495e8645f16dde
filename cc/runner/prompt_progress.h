// How far a long prompt is, while nothing of the answer can be seen yet. On a terminal, one line that
// is written over and taken away; as JSON, a line each time; otherwise nothing.
#ifndef CC_RUNNER_PROMPT_PROGRESS_H_
#define CC_RUNNER_PROMPT_PROGRESS_H_

#include <cstdint>
#include <string>

#include "cc/engine/benchmark_info.h"
#include "cc/engine/generation.h"

namespace gemma {

class PromptProgressLine {
 public:
  // What is to be written for this report: the line, what takes it away, or nothing. A prompt that
  // is short, and so soon over, has none.
  std::string Report(int64_t done, int64_t total, double seconds);

 private:
  size_t shown_ = 0;  // characters on the line
};

// Empty with `quiet`, and where stderr is neither a terminal nor JSON.
PromptProgress ReportPromptProgress(bool quiet);

}  // namespace gemma

#endif  // CC_RUNNER_PROMPT_PROGRESS_H_
