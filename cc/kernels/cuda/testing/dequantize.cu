#include "cc/kernels/cuda/device/decode.h"
#include "cc/kernels/cuda/device/launch.h"
#include "cc/kernels/cuda/testing/dequantize.h"

namespace gemma::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    DequantizeKernel(const __grid_constant__ Matrix m, float* out) {
  const int64_t row = blockIdx.x;
  for (int c = static_cast<int>(threadIdx.x); c < m.columns; c += kThreads)
    out[row * m.columns + c] = LoadValue(m, row, c);
}

}  // namespace

cudaError_t LaunchDequantize(const Matrix& matrix, float* out, cudaStream_t stream) {
  const LaunchShape shape{
      dim3(static_cast<unsigned>(matrix.rows)), kThreads, 0, {.stream = stream}};
  return Launch(DequantizeKernel, shape, matrix, out);
}

}  // namespace gemma::cuda
