// Runs CUDA kernels on the CPU, so that their indexing and arithmetic are tested on machines
// without a GPU.
//
// Every CUDA thread is a fiber (ucontext). Threads of a warp meet in collectives (shuffles, mma,
// ldmatrix), threads of a block in __syncthreads; fibers of all blocks of a grid take turns, so a
// block may wait for another one. Only what our kernels use is here. It says nothing about speed or
// about memory ordering: compute-sanitizer does that on a GPU.
//
// A kernel source is compiled by the host compiler with GEMMA_CUDA_EMULATION defined and CUDA's
// headers on the include path (they give the vector and half types and declare the runtime API,
// part of which emulation.cc defines).
#ifndef CC_KERNELS_CUDA_EMULATION_EMULATION_H_
#define CC_KERNELS_CUDA_EMULATION_EMULATION_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace gemma::emulation {

inline constexpr int kWarpSize = 32;

struct Thread {
  uint3 thread_index;
  uint3 block_index;
  dim3 block_size;
  dim3 grid_size;
};

// The running fiber's own indices. Only inside of RunGrid.
const Thread& CurrentThread();

// The running block's dynamic shared memory,
// aligned to 1024 bytes and filled with NaNs at the block's start.
std::byte* SharedMemory();

// Aborts, naming the block and the thread.
[[noreturn]] void Fail(const char* message);

// Lets the other fibers run: every spin loop calls this.
void Yield();

// Lets them run until the word has changed.
void WaitForChange(const uint64_t& word);

void BlockBarrier();
// Of `threads` threads of the block; id 1 to 15.
void NamedBarrier(int id, int threads);

// All 32 lanes of a warp call this with the same `compute`; the last one to arrive runs it over all
// inputs and outputs.
using Compute = void (*)(const void* const in[kWarpSize], void* const out[kWarpSize]);
void WarpCollective(const void* in, void* out, Compute compute);

// Runs `kernel` once for every thread of the grid.
// Aborts, naming the block, when the threads deadlock.
cudaError_t RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
                    const std::function<void()>& kernel);

// The GPU as it looks when a kernel never ends: streams and events are never done, and calls that
// would wait for them abort the test.
void SetStuck(bool stuck);
// The `count`-th launch from now on, 1 first, does not run and is an error.
void FailLaunch(int count);

// RunGrid, now, or, while a stream is being captured, when the graph is launched.
cudaError_t Launch(dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> kernel);

template <typename T>
struct Shuffle {
  T value;
  int source;
};

template <typename T>
T ShuffleFrom(T value, int source) {
  const Shuffle<T> in{value, source};
  T out;
  WarpCollective(&in, &out, [](const void* const* ins, void* const* outs) {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const int from = static_cast<const Shuffle<T>*>(ins[lane])->source & (kWarpSize - 1);
      *static_cast<T*>(outs[lane]) = static_cast<const Shuffle<T>*>(ins[from])->value;
    }
  });
  return out;
}

inline int CurrentLane() { return static_cast<int>(CurrentThread().thread_index.x) % kWarpSize; }

template <typename Word, typename T>
Word Bits(T value) {
  static_assert(sizeof(Word) == sizeof(T));
  Word bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

}  // namespace gemma::emulation

// The part of CUDA C++ that our kernels use.
#define threadIdx (::gemma::emulation::CurrentThread().thread_index)
#define blockIdx (::gemma::emulation::CurrentThread().block_index)
#define blockDim (::gemma::emulation::CurrentThread().block_size)
#define gridDim (::gemma::emulation::CurrentThread().grid_size)
#undef __launch_bounds__
#define __launch_bounds__(...)
#define __restrict__ __restrict

inline void __syncthreads() { gemma::emulation::BlockBarrier(); }
inline void __syncwarp() { (void)gemma::emulation::ShuffleFrom(0, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <typename T>
T __shfl_sync(unsigned, T value, int source) {
  return gemma::emulation::ShuffleFrom(value, source);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return gemma::emulation::ShuffleFrom(value, gemma::emulation::CurrentLane() ^ mask);
}
template <typename T>
T __shfl_up_sync(unsigned, T value, int delta) {
  const int lane = gemma::emulation::CurrentLane();
  return gemma::emulation::ShuffleFrom(value, lane < delta ? lane : lane - delta);
}

inline int __any_sync(unsigned, bool value) {
  int any = 0;
  gemma::emulation::WarpCollective(&value, &any, [](const void* const* ins, void* const* outs) {
    bool result = false;
    for (int lane = 0; lane < gemma::emulation::kWarpSize; ++lane)
      result = result || *static_cast<const bool*>(ins[lane]);
    for (int lane = 0; lane < gemma::emulation::kWarpSize; ++lane)
      *static_cast<int*>(outs[lane]) = result;
  });
  return any;
}

// One fiber runs at a time, so these are atomic as they stand.
template <typename T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address = old + value;
  return old;
}
template <typename T>
T atomicMax(T* address, T value) {
  const T old = *address;
  *address = old < value ? value : old;
  return old;
}

template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
inline unsigned __float_as_uint(float value) { return gemma::emulation::Bits<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return gemma::emulation::Bits<float>(bits); }
inline int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const uint64_t bytes = uint64_t{high} << 32 | low;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned index = selector >> (4 * i) & 7;
    result |= static_cast<unsigned>(bytes >> (8 * index) & 255) << (8 * i);
  }
  return result;
}

#endif  // CC_KERNELS_CUDA_EMULATION_EMULATION_H_
