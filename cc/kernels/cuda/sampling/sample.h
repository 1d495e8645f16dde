// Drawing a token, and scoring, on the device: what Sample and Score in cc/kernels/operations.h
// define.
#ifndef CC_KERNELS_CUDA_SAMPLING_SAMPLE_H_
#define CC_KERNELS_CUDA_SAMPLING_SAMPLE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/cuda/sampling/params.h"

namespace gemma::cuda {

// The most ids that a token can be drawn from:
// sums of this many probabilities of at most 2^44 fit 63 bits.
inline constexpr int64_t kMaxSampledIds = 1 << 19;

// token <- one id drawn from float32 logits [vocab] by *request; all pointers in device memory. The
// logits of suppressed ids are overwritten with the lowest float before anything looks at them.
// InvalidArgument for more than kMaxSampledIds.
absl::Status RunSample(float* logits, int64_t vocab, const SuppressedIds& suppressed,
                       const SampleRequest* request, int64_t* token, const Context& context);

// Scratch memory that RunSample needs.
Regions SampleRegions();

absl::Status RunScore(const ScoreParams& op, const Context& context);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_SAMPLING_SAMPLE_H_
