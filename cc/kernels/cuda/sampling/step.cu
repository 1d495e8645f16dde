// The end of a decode step.
#include "cc/kernels/cuda/device/instructions.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/sampling/step.h"

namespace gemma::cuda {
namespace {

constexpr int kBlocks = 64;
constexpr int kThreads = 256;
constexpr uint32_t kExponent = 0x7f800000;  // all ones: NaN or infinite

__global__ void __launch_bounds__(kThreads)
    FinishStepKernel(const __grid_constant__ FinishStepParams p) {
  WaitForPreviousKernel();
  unsigned long long broken = 0;
  for (int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x); i < p.vocab;
       i += kBlocks * kThreads) {
    if ((__float_as_uint(p.logits[i]) & kExponent) == kExponent) ++broken;
  }
  if (broken > 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(&p.state->broken_logits), broken);
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    p.state->position += p.tokens;
    p.state->request.position += 1;
  }
}

}  // namespace

cudaError_t LaunchFinishStep(const FinishStepParams& params, const LaunchOptions& launch) {
  return Launch(FinishStepKernel, {dim3(kBlocks), kThreads, 0, launch}, params);
}

}  // namespace gemma::cuda
