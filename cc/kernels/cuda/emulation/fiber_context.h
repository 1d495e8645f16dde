// Where a fiber goes on: its stack and its saved registers.
#ifndef CC_KERNELS_CUDA_EMULATION_FIBER_CONTEXT_H_
#define CC_KERNELS_CUDA_EMULATION_FIBER_CONTEXT_H_

#include <cstddef>
#include <memory>

// swapcontext makes a system call for the signal mask, which took three quarters of all time; a
// switch of our own takes none. The address sanitizer knows swapcontext only.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define GEMMA_OWN_FIBER_SWITCH
#else
#include <ucontext.h>
#endif

namespace gemma::emulation {

class FiberContext {
 public:
  FiberContext() = default;
  ~FiberContext();
  FiberContext(const FiberContext&) = delete;
  FiberContext& operator=(const FiberContext&) = delete;

  // Takes a stack; the first switch here calls `main`, which must never return.
  void Begin(void (*main)());

  // Saves the running context in `from` and goes on with `to`.
  static void Switch(FiberContext& from, FiberContext& to);

 private:
  std::unique_ptr<std::byte[]> stack_;
#ifdef GEMMA_OWN_FIBER_SWITCH
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
};

}  // namespace gemma::emulation

#endif  // CC_KERNELS_CUDA_EMULATION_FIBER_CONTEXT_H_
