#include "cc/kernels/cuda/benchmark/device_work.h"
#include "cc/kernels/cuda/device/launch.h"

namespace gemma::cuda {
namespace {

constexpr int kThreads = 512;

GEMMA_DEVICE uint32_t Hash(uint64_t index, uint32_t seed) {
  uint64_t z = (index + 1) * 0x9E3779B97F4A7C15ull + seed;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return static_cast<uint32_t>(z >> 32);
}

__global__ void FillBytesKernel(uint32_t* to, size_t words, uint32_t seed) {
  for (size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x; i < words;
       i += static_cast<size_t>(gridDim.x) * kThreads) {
    to[i] = Hash(i, seed);
  }
}

__global__ void FillNumbersKernel(std::byte* to, size_t count, size_t stride, Stored type,
                                  float low, float high, uint32_t seed) {
  for (size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += static_cast<size_t>(gridDim.x) * kThreads) {
    const float value = low + (high - low) * (static_cast<float>(Hash(i, seed) >> 8) * 0x1p-24f);
    std::byte* const at = to + i * stride;
    if (type == Stored::kF32) *reinterpret_cast<float*>(at) = value;
    if (type == Stored::kF16) *reinterpret_cast<__half*>(at) = __float2half(value);
    if (type == Stored::kBF16) *reinterpret_cast<__nv_bfloat16*>(at) = __float2bfloat16(value);
  }
}

__global__ void __launch_bounds__(kThreads)
    ReadAllKernel(const uint4* from, size_t count, uint32_t* checksum) {
  uint32_t sum = 0;
  const size_t stride = static_cast<size_t>(gridDim.x) * kThreads;
  size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (; i + 3 * stride < count; i += 4 * stride) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = __ldcs(from + i + static_cast<size_t>(j) * stride);
#pragma unroll
    for (int j = 0; j < 4; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  for (; i < count; i += stride) sum += from[i].x ^ from[i].y ^ from[i].z ^ from[i].w;
  if (sum == 0x12345678) *checksum = sum;  // so that the reads stay
}

}  // namespace

cudaError_t FillBytes(void* to, size_t bytes, uint32_t seed, cudaStream_t stream) {
  return Launch(FillBytesKernel, {dim3(2048), kThreads, 0, false, stream},
                static_cast<uint32_t*>(to), bytes / 4, seed);
}

cudaError_t FillNumbers(void* to, size_t count, Stored type, float low, float high, uint32_t seed,
                        cudaStream_t stream, size_t stride) {
  if (stride == 0) stride = type == Stored::kF32 ? 4 : 2;
  return Launch(FillNumbersKernel, {dim3(2048), kThreads, 0, false, stream},
                static_cast<std::byte*>(to), count, stride, type, low, high, seed);
}

cudaError_t ReadAll(const void* from, size_t bytes, int multiprocessors, uint32_t* checksum,
                    cudaStream_t stream) {
  return Launch(ReadAllKernel,
                {dim3(static_cast<unsigned>(multiprocessors * 4)), kThreads, 0, false, stream},
                static_cast<const uint4*>(from), bytes / 16, checksum);
}

}  // namespace gemma::cuda
