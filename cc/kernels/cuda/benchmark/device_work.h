// What the benchmark runs on the device beside the kernels it measures.
#ifndef CC_KERNELS_CUDA_BENCHMARK_DEVICE_WORK_H_
#define CC_KERNELS_CUDA_BENCHMARK_DEVICE_WORK_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace gemma::cuda {

// Random bytes.
cudaError_t FillBytes(void* to, size_t bytes, uint32_t seed, cudaStream_t stream);
// Uniform in [low, high), as float16, bfloat16 or float32.
enum class Stored { kF16, kBF16, kF32 };
cudaError_t FillNumbers(void* to, size_t count, Stored type, float low, float high, uint32_t seed,
                        cudaStream_t stream, size_t stride = 0);

// Reads all bytes once (a multiple of 16) and leaves a checksum.
cudaError_t ReadAll(const void* from, size_t bytes, int multiprocessors, uint32_t* checksum,
                    cudaStream_t stream);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_BENCHMARK_DEVICE_WORK_H_
