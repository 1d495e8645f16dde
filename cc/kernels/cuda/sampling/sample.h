// Drawing a token, and scoring, on the device: what Sampling and Score in cc/kernels/operations.h
// define.
#ifndef CC_KERNELS_CUDA_SAMPLING_SAMPLE_H_
#define CC_KERNELS_CUDA_SAMPLING_SAMPLE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/sampling/params.h"

namespace gemma::cuda {

// token <- one id drawn from float32 logits [vocab] by *request; all pointers in device memory.
// InvalidArgument for more ids than 2^19, beyond which sums of probabilities might not fit.
absl::Status RunSample(const float* logits, int64_t vocab, const SampleRequest* request,
                       int64_t* token, const Context& context);

// Scratch memory that RunSample needs.
Regions SampleRegions();

absl::Status RunScore(const ScoreParams& op, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_SAMPLING_SAMPLE_H_
