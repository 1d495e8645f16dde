// The products and the attention of prompts, at the shapes of Gemma 4 31B's layers.
#ifndef CC_KERNELS_CUDA_BENCHMARK_PROMPT_H_
#define CC_KERNELS_CUDA_BENCHMARK_PROMPT_H_

#include "absl/status/status.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

// Prints the time and TFLOP/s of a sliding layer's
// four products for `tokens` tokens, and their sum.
absl::Status MeasureLayerProducts(WeightLayout layout, int tokens, int repetitions,
                                  const Context& context);

// Prints the time of a sliding and of a full layer's attention for `tokens` tokens after `start`
// others, of which preparing queries, keys and values, and TFLOP/s of the visible scores.
absl::Status MeasurePromptAttention(int tokens, int start, int repetitions, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_BENCHMARK_PROMPT_H_
