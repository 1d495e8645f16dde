#include "cc/kernels/cuda/emulation/fiber_context.h"

#include <cstdint>
#include <utility>
#include <vector>

#ifdef GEMMA_OWN_FIBER_SWITCH

// Saves the registers that a function must preserve, and takes those of the other stack.
extern "C" void GemmaSwitchStack(void** save_to, void* stack_pointer);
asm(R"(
.text
.globl GemmaSwitchStack
.type GemmaSwitchStack, @function
GemmaSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size GemmaSwitchStack, . - GemmaSwitchStack
)");

#endif

namespace gemma::emulation {
namespace {

constexpr size_t kStackBytes = 64 << 10;

// Stacks of fibers that have ended, for those to come: fresh memory costs a page fault every 4 KB.
std::vector<std::unique_ptr<std::byte[]>>& FreeStacks() {
  static auto* stacks = new std::vector<std::unique_ptr<std::byte[]>>;
  return *stacks;
}

std::unique_ptr<std::byte[]> TakeStack() {
  auto& stacks = FreeStacks();
  if (stacks.empty()) return std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  std::unique_ptr<std::byte[]> stack = std::move(stacks.back());
  stacks.pop_back();
  return stack;
}

}  // namespace

FiberContext::~FiberContext() {
  if (stack_ != nullptr) FreeStacks().push_back(std::move(stack_));
}

#ifdef GEMMA_OWN_FIBER_SWITCH

void FiberContext::Begin(void (*main)()) {
  stack_ = TakeStack();
  const auto end = reinterpret_cast<uintptr_t>(stack_.get() + kStackBytes) & ~uintptr_t{15};
  auto* top = reinterpret_cast<void**>(end);
  *--top = nullptr;  // main's return address; the stack is aligned as after a call
  *--top = reinterpret_cast<void*>(main);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  stack_pointer_ = top;
}

void FiberContext::Switch(FiberContext& from, FiberContext& to) {
  GemmaSwitchStack(&from.stack_pointer_, to.stack_pointer_);
}

#else

void FiberContext::Begin(void (*main)()) {
  stack_ = TakeStack();
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_.get();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, main, 0);
}

void FiberContext::Switch(FiberContext& from, FiberContext& to) {
  swapcontext(&from.context_, &to.context_);
}

#endif

}  // namespace gemma::emulation
