// A norm that a product computes for itself.
#ifndef CC_KERNELS_CUDA_DEVICE_FUSED_NORM_H_
#define CC_KERNELS_CUDA_DEVICE_FUSED_NORM_H_

namespace gemma::cuda {

// x_out = (x + branch / rms(branch) * branch_weight) * scalar;  in = x_out / rms(x_out) * weight.
// One token, as a number or a pair.
struct FusedNorm {
  const float* x = nullptr;              // [columns]; null: no fused norm
  const float* branch = nullptr;         // [columns]; null: x_out = x
  const float* branch_weight = nullptr;  // [columns]
  const float* scalar = nullptr;         // one number; null: 1
  const float* weight = nullptr;         // [columns]
  float* x_out = nullptr;                // [columns], not x; null when there is no branch
  float epsilon = 0;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_FUSED_NORM_H_
