// What every kernel source includes first: CUDA C++,
// or its emulation on the CPU (emulation/emulation.h).
#ifndef CC_KERNELS_CUDA_DEVICE_LANGUAGE_H_
#define CC_KERNELS_CUDA_DEVICE_LANGUAGE_H_

#ifdef GEMMA_CUDA_EMULATION
#include "cc/kernels/cuda/emulation/emulation.h"
#define GEMMA_SHARED_MEMORY(name) std::byte* const name = ::gemma::emulation::SharedMemory()
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
// The block's dynamic shared memory.
#define GEMMA_SHARED_MEMORY(name) extern __shared__ __align__(1024) std::byte name[]
#endif

#include <cstddef>
#include <cstdint>

#define GEMMA_DEVICE __device__ __forceinline__
#if defined(GEMMA_CUDA_EMULATION)
#undef GEMMA_DEVICE
#define GEMMA_DEVICE inline
#endif

#endif  // CC_KERNELS_CUDA_DEVICE_LANGUAGE_H_
