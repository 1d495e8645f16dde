// Barriers in shared memory, which warps of one block arrive at and wait for one by one: unlike
// __syncthreads, an arrival does not wait, and no fence drains what the warp still copies. What a
// thread did before it arrived is seen by whoever has waited for that phase. Bulk copies, which
// need compute capability 9.0, arrive in bytes.
#ifndef CC_KERNELS_CUDA_DEVICE_BARRIER_H_
#define CC_KERNELS_CUDA_DEVICE_BARRIER_H_

#include "cc/kernels/cuda/device/instructions.h"

namespace gemma::cuda {

// A barrier completes a phase when all its arrivals and all its expected bytes have come; then the
// next phase begins. Waiting is by the parity of the phase, 0 first.
struct Barrier {
  uint64_t state;
};

#ifdef GEMMA_CUDA_EMULATION
// state: parity in bit 0, arrivals a phase from bit 1 on, pending ones from bit 16 on, bytes from
// bit 32 on.
inline void EmulatedArrive(Barrier& barrier, int arrivals, int64_t bytes) {
  uint64_t parity = barrier.state & 1, count = barrier.state >> 1 & 0x7fff;
  int64_t pending = static_cast<int64_t>(barrier.state >> 16 & 0xffff) - arrivals;
  const int64_t left = static_cast<int32_t>(barrier.state >> 32) + bytes;
  if (pending == 0 && left == 0) {
    parity ^= 1;
    pending = static_cast<int64_t>(count);
  }
  barrier.state = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
                  static_cast<uint64_t>(pending) << 16 | count << 1 | parity;
}
#endif

GEMMA_DEVICE void InitBarrier(Barrier& barrier, int arrivals) {
#ifdef GEMMA_CUDA_EMULATION
  barrier.state = static_cast<uint64_t>(arrivals) << 16 | static_cast<uint64_t>(arrivals) << 1;
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(&barrier)),
               "r"(arrivals)
               : "memory");
#endif
}

// After the InitBarrier calls, before the block's barrier: the copy engine sees them.
GEMMA_DEVICE void FenceBarrierInit() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

GEMMA_DEVICE void Arrive(Barrier& barrier) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedArrive(barrier, 1, 0);
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(&barrier))
               : "memory");
#endif
}

// Arrives, and the phase ends no sooner than `bytes` more have come.
GEMMA_DEVICE void ArriveExpecting(Barrier& barrier, int bytes) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedArrive(barrier, 1, bytes);
#elif __CUDA_ARCH__ >= 900
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(&barrier)),
      "r"(bytes)
      : "memory");
#endif
}

// Arrives when all CopyAsync of this thread so far have ended.
GEMMA_DEVICE void ArriveAfterCopies(Barrier& barrier) {
#ifdef GEMMA_CUDA_EMULATION
  EmulatedArrive(barrier, 1, 0);
#else
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(SharedAddress(&barrier))
               : "memory");
#endif
}

// Waits until the phase of this parity has ended.
GEMMA_DEVICE void WaitBarrier(Barrier& barrier, int parity) {
#ifdef GEMMA_CUDA_EMULATION
  while (static_cast<int>(barrier.state & 1) == parity) emulation::WaitForChange(barrier.state);
#elif __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra end;\n"
      "bra again;\n"
      "end:\n}" ::"r"(SharedAddress(&barrier)),
      "r"(parity)
      : "memory");
#else
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\n"
      "mbarrier.test_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra end;\n"
      "bra again;\n"
      "end:\n}" ::"r"(SharedAddress(&barrier)),
      "r"(parity)
      : "memory");
#endif
}

// Meets `threads` threads (whole warps) at barrier `id`, 1 to 15; 0 is __syncthreads.
GEMMA_DEVICE void MeetThreads(int id, int threads) {
#ifdef GEMMA_CUDA_EMULATION
  emulation::NamedBarrier(id, threads);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// ---- bulk copies ----

// Copies `bytes`, a multiple of 16, between addresses aligned to 16, from global to shared memory.
GEMMA_DEVICE void CopyBulk(void* to, const void* from, int bytes, Barrier& barrier) {
#ifdef GEMMA_CUDA_EMULATION
  memcpy(to, from, static_cast<size_t>(bytes));
  EmulatedArrive(barrier, 0, -bytes);
#elif __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(SharedAddress(to)),
      "l"(from), "r"(bytes), "r"(SharedAddress(&barrier))
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

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_DEVICE_BARRIER_H_
