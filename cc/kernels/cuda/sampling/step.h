// What a session carries from one decode step to the next in device memory, so that a step needs
// nothing from the host: the captured graph of a step reads it, and its last kernel updates it.
#ifndef CC_KERNELS_CUDA_SAMPLING_STEP_H_
#define CC_KERNELS_CUDA_SAMPLING_STEP_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/cuda/sampling/params.h"

namespace gemma::cuda {

struct StepState {
  int64_t position;        // of the call's first token
  int64_t token;           // the call's only one, then the drawn one
  SampleRequest request;   // of the draw
  uint64_t broken_logits;  // NaN or infinite ones among those that were drawn from
};

struct FinishStepParams {
  const float* logits = nullptr;  // [vocab], that the token was drawn from
  int32_t vocab = 0;
  int32_t tokens = 0;  // of the call
  StepState* state = nullptr;
};

// Counts broken logits and makes `state` that of a call with the token that was drawn.
cudaError_t LaunchFinishStep(const FinishStepParams&, const LaunchOptions&);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_SAMPLING_STEP_H_
