// Barriers in shared memory that warps of one block arrive at and wait for one by one (mbarrier):
// unlike __syncthreads, an arrival does not wait, and no fence drains what the warp still copies.
//
// A barrier's phases alternate between parity 0 and 1, the first being 0. What a thread did before
// it arrived is seen by whoever has waited for that phase. Bulk copies (compute capability 9.0)
// arrive in bytes: a phase that expects some is complete when they are there, too.
#ifndef CC_KERNELS_CUDA_SHARED_BARRIER_H_
#define CC_KERNELS_CUDA_SHARED_BARRIER_H_

#include "cc/kernels/cuda/instructions.h"

namespace gemma::cuda {

using SharedBarrier = uint64_t;

#ifdef GEMMA_CUDA_EMULATION
struct EmulatedBarrier {
  int32_t bytes;
  uint8_t pending;
  uint8_t arrivals;
  uint16_t parity;
};
static_assert(sizeof(EmulatedBarrier) == sizeof(SharedBarrier));

inline void ChangeEmulatedBarrier(SharedBarrier* barrier, int arrivals, int bytes) {
  EmulatedBarrier state;
  memcpy(&state, barrier, sizeof(state));
  state.bytes += bytes;
  state.pending = static_cast<uint8_t>(state.pending - arrivals);
  if (state.pending == 0 && state.bytes == 0) {
    state.pending = state.arrivals;
    state.parity ^= 1;
  }
  memcpy(barrier, &state, sizeof(state));
}
#endif

// By one thread; the others may use it after a __syncthreads.
GEMMA_DEVICE void InitBarrier(SharedBarrier* barrier, int arrivals) {
#ifdef GEMMA_CUDA_EMULATION
  const EmulatedBarrier start{0, static_cast<uint8_t>(arrivals), static_cast<uint8_t>(arrivals), 0};
  memcpy(barrier, &start, sizeof(start));
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)),
               "r"(arrivals)
               : "memory");
#endif
}

GEMMA_DEVICE void Arrive(SharedBarrier* barrier) {
#ifdef GEMMA_CUDA_EMULATION
  ChangeEmulatedBarrier(barrier, 1, 0);
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(barrier)) : "memory");
#endif
}

// Makes initialized barriers known to bulk copies; by the thread that initialized them.
GEMMA_DEVICE void PublishBarriers() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

// Arrives, and makes the phase wait for bytes that copies bring.
GEMMA_DEVICE void ArriveAndExpect(SharedBarrier* barrier, int bytes) {
#ifdef GEMMA_CUDA_EMULATION
  ChangeEmulatedBarrier(barrier, 1, bytes);
#elif __CUDA_ARCH__ >= 900
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)),
      "r"(bytes)
      : "memory");
#endif
}

// Copies `bytes`, a multiple of 16, between addresses aligned to 16, from global to shared memory.
GEMMA_DEVICE void CopyBulk(void* to, const void* from, int bytes, SharedBarrier* barrier) {
#ifdef GEMMA_CUDA_EMULATION
  memcpy(to, from, static_cast<size_t>(bytes));
  ChangeEmulatedBarrier(barrier, 0, -bytes);
#elif __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(SharedAddress(to)),
      "l"(from), "r"(bytes), "r"(SharedAddress(barrier))
      : "memory");
#endif
}

// Brings `bytes`, a multiple of 16, from an address aligned to 16 into the L2 cache.
GEMMA_DEVICE void PrefetchBulk(const void* from, int bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#else
  (void)from, (void)bytes;
#endif
}

// True when the phase of this parity, which the caller knows to be the current or the previous one,
// is complete.
GEMMA_DEVICE bool IsComplete(SharedBarrier* barrier, uint32_t parity) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedBarrier state;
  memcpy(&state, barrier, sizeof(state));
  return state.parity != parity;
#else
  uint32_t complete;
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n}"
#else
  asm volatile(
      "{\n.reg .pred p;\nmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n}"
#endif
      : "=r"(complete)
      : "r"(SharedAddress(barrier)), "r"(parity)
      : "memory");
  return complete != 0;
#endif
}

GEMMA_DEVICE void WaitFor(SharedBarrier* barrier, uint32_t parity) {
  while (!IsComplete(barrier, parity)) {
#ifdef GEMMA_CUDA_EMULATION
    emulation::Yield();
#endif
  }
}

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_SHARED_BARRIER_H_
