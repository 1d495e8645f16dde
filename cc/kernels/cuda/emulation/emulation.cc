#include "cc/kernels/cuda/emulation/emulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "cc/kernels/cuda/emulation/fiber_context.h"

namespace gemma::emulation {
namespace {

constexpr size_t kSharedAlignment = 1024;
constexpr int kMaxFibers = 16384;  // of the blocks that run at the same time

struct Warp {
  int arrived = 0;
  uint64_t generation = 0;
  Compute compute = nullptr;
  const void* in[kWarpSize];
  void* out[kWarpSize];
};

struct Block;

struct Fiber {
  FiberContext context;
  Thread thread;
  Block* block = nullptr;
  int index = 0;  // in the block
  bool finished = false;
  bool polls = false;  // gave way, and looks again at what it waits for when the others have run
  // Not resumed while *waits_for == waits_while; null when it can run.
  const uint64_t* waits_for = nullptr;
  uint64_t waits_while = 0;
};

struct Meeting {
  int arrived = 0;
  uint64_t generation = 0;
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  std::byte* shared = nullptr;
  int live = 0;
  int at_barrier = 0;
  uint64_t barrier_generation = 0;
  Meeting meetings[16];  // of NamedBarrier

  ~Block() { std::free(shared); }
};

FiberContext scheduler_context;
Fiber* current = nullptr;
const std::function<void()>* current_kernel = nullptr;

void ReleaseBarrierIfComplete(Block& block) {
  if (block.at_barrier < block.live || block.live == 0) return;
  block.at_barrier = 0;
  ++block.barrier_generation;
}

void FiberMain() {
  (*current_kernel)();
  current->finished = true;
  --current->block->live;
  ReleaseBarrierIfComplete(*current->block);
  FiberContext::Switch(current->context, scheduler_context);
}

void Wait(const uint64_t& generation) {
  current->waits_for = &generation;
  current->waits_while = generation;
  FiberContext::Switch(current->context, scheduler_context);
}

std::unique_ptr<Fiber> MakeFiber(Block& block, int index, const Thread& thread) {
  auto fiber = std::make_unique<Fiber>();
  fiber->thread = thread;
  fiber->block = &block;
  fiber->index = index;
  fiber->context.Begin(FiberMain);
  return fiber;
}

std::unique_ptr<Block> MakeBlock(dim3 grid, dim3 size, uint3 block_index, size_t shared_bytes) {
  auto block = std::make_unique<Block>();
  const size_t rounded = (std::max<size_t>(shared_bytes, 1) + kSharedAlignment - 1) /
                         kSharedAlignment * kSharedAlignment;
  block->shared = static_cast<std::byte*>(std::aligned_alloc(kSharedAlignment, rounded));
  std::memset(block->shared, 0xff, rounded);
  const int threads = static_cast<int>(size.x);
  block->warps.resize((threads + kWarpSize - 1) / kWarpSize);
  block->live = threads;
  for (int i = 0; i < threads; ++i) {
    const Thread thread{{static_cast<unsigned>(i), 0, 0}, block_index, size, grid};
    block->fibers.push_back(MakeFiber(*block, i, thread));
  }
  return block;
}

bool CanRun(const Fiber& fiber) {
  if (fiber.finished) return false;
  return fiber.waits_for == nullptr || *fiber.waits_for != fiber.waits_while;
}

// Resumes a warp's fibers until each has ended, waits for others or polls. False when none could run.
bool RunWarp(std::span<const std::unique_ptr<Fiber>> warp) {
  bool ran = false;
  bool goes_on = true;
  while (goes_on) {
    goes_on = false;
    for (const auto& fiber : warp) {
      if (!CanRun(*fiber)) continue;
      fiber->waits_for = nullptr;
      fiber->polls = false;
      current = fiber.get();
      FiberContext::Switch(scheduler_context, fiber->context);
      ran = true;
      goes_on |= !fiber->polls;
    }
  }
  return ran;
}

// Resumes every warp that can run, once. False when none could.
bool Round(std::vector<std::unique_ptr<Block>>& blocks) {
  bool progress = false;
  for (auto& block : blocks) {
    if (block->live == 0) continue;
    const std::span<const std::unique_ptr<Fiber>> fibers = block->fibers;
    for (size_t first = 0; first < fibers.size(); first += kWarpSize)
      progress |= RunWarp(fibers.subspan(first, kWarpSize));
  }
  return progress;
}

void RunBlocks(std::vector<std::unique_ptr<Block>>& blocks) {
  while (true) {
    const bool progress = Round(blocks);
    const bool done = std::all_of(blocks.begin(), blocks.end(),
                                  [](const auto& block) { return block->live == 0; });
    if (done) return;
    if (!progress) Fail("the threads wait for each other");
  }
}

}  // namespace

const Thread& CurrentThread() { return current->thread; }
std::byte* SharedMemory() { return current->block->shared; }

void Fail(const char* message) {
  const uint3 b = current->thread.block_index;
  std::fprintf(stderr, "emulation: %s (block %u,%u,%u, thread %d)\n", message, b.x, b.y, b.z,
               current->index);
  std::abort();
}

void Yield() {
  current->polls = true;
  FiberContext::Switch(current->context, scheduler_context);
}

void BlockBarrier() {
  Block& block = *current->block;
  const uint64_t generation = block.barrier_generation;
  ++block.at_barrier;
  ReleaseBarrierIfComplete(block);
  if (block.barrier_generation == generation) Wait(block.barrier_generation);
}

void WaitForChange(const uint64_t& word) { Wait(word); }

void NamedBarrier(int id, int threads) {
  Meeting& meeting = current->block->meetings[id];
  if (++meeting.arrived < threads) {
    Wait(meeting.generation);
    return;
  }
  meeting.arrived = 0;
  ++meeting.generation;
}

void WarpCollective(const void* in, void* out, Compute compute) {
  Warp& warp = current->block->warps[current->index / kWarpSize];
  if (warp.arrived > 0 && warp.compute != compute)
    Fail("lanes of a warp meet in different collectives");
  const int lane = current->index % kWarpSize;
  warp.in[lane] = in;
  warp.out[lane] = out;
  warp.compute = compute;
  if (++warp.arrived < kWarpSize) {
    Wait(warp.generation);
    return;
  }
  compute(warp.in, warp.out);
  warp.arrived = 0;
  ++warp.generation;
}

cudaError_t RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
                    const std::function<void()>& kernel) {
  if (block.y != 1 || block.z != 1 || block.x % kWarpSize != 0)
    return cudaErrorInvalidConfiguration;
  current_kernel = &kernel;
  std::vector<std::unique_ptr<Block>> blocks;
  const uint64_t total = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < total; ++i) {
    const uint3 index{static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                      static_cast<unsigned>(i / grid.x / grid.y)};
    blocks.push_back(MakeBlock(grid, block, index, shared_bytes));
    if ((blocks.size() + 1) * block.x > kMaxFibers || i + 1 == total) {
      RunBlocks(blocks);
      blocks.clear();
    }
  }
  return cudaSuccess;
}

}  // namespace gemma::emulation
