#include "cc/kernels/cuda/emulation/emulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
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
  // Not resumed while *waits_for == waits_while; null when it can run.
  const uint64_t* waits_for = nullptr;
  uint64_t waits_while = 0;
};

struct Meeting {
  int arrived = 0;
  uint64_t generation = 0;
};

struct Block {
  std::unique_ptr<Fiber[]> fibers;
  int threads = 0;
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
bool warp_goes_on = false;  // a fiber of the running warp did more than poll

void ReleaseBarrierIfComplete(Block& block) {
  if (block.at_barrier < block.live || block.live == 0) return;
  block.at_barrier = 0;
  ++block.barrier_generation;
}

bool CanRun(const Fiber& fiber) {
  if (fiber.finished) return false;
  return fiber.waits_for == nullptr || *fiber.waits_for != fiber.waits_while;
}

// The first fiber of `index`'s warp, from `index` on, that can run; null: none.
Fiber* NextOfWarp(const Block& block, int index) {
  const int end = std::min(block.threads, (index / kWarpSize + 1) * kWarpSize);
  for (; index < end; ++index) {
    if (CanRun(block.fibers[index])) return &block.fibers[index];
  }
  return nullptr;
}

void Resume(FiberContext& from, Fiber& fiber) {
  fiber.waits_for = nullptr;
  current = &fiber;
  FiberContext::Switch(from, fiber.context);
}

// Goes on with the rest of the warp, without a detour by the scheduler.
void GiveWay() {
  Fiber& self = *current;
  const bool last = (self.index + 1) % kWarpSize == 0;
  Fiber* const next = last ? nullptr : NextOfWarp(*self.block, self.index + 1);
  if (next != nullptr) {
    Resume(self.context, *next);
  } else {
    FiberContext::Switch(self.context, scheduler_context);
  }
}

void FiberMain() {
  (*current_kernel)();
  current->finished = true;
  --current->block->live;
  ReleaseBarrierIfComplete(*current->block);
  warp_goes_on = true;
  GiveWay();
}

void Wait(const uint64_t& generation) {
  current->waits_for = &generation;
  current->waits_while = generation;
  warp_goes_on = true;
  GiveWay();
}

std::unique_ptr<Block> MakeBlock(dim3 grid, dim3 size, uint3 block_index, size_t shared_bytes) {
  auto block = std::make_unique<Block>();
  const size_t rounded = (std::max<size_t>(shared_bytes, 1) + kSharedAlignment - 1) /
                         kSharedAlignment * kSharedAlignment;
  block->shared = static_cast<std::byte*>(std::aligned_alloc(kSharedAlignment, rounded));
  std::memset(block->shared, 0xff, rounded);
  const int threads = static_cast<int>(size.x);
  block->warps.resize((threads + kWarpSize - 1) / kWarpSize);
  block->live = block->threads = threads;
  block->fibers = std::make_unique<Fiber[]>(threads);
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = block->fibers[i];
    fiber.thread = {{static_cast<unsigned>(i), 0, 0}, block_index, size, grid};
    fiber.block = block.get();
    fiber.index = i;
    fiber.context.Begin(FiberMain);
  }
  return block;
}

// Resumes the fibers of the warp that begins with `first` until each has ended, waits for others or
// polls. False when none could run.
bool RunWarp(const Block& block, int first) {
  bool ran = false;
  warp_goes_on = true;
  while (warp_goes_on) {
    warp_goes_on = false;
    Fiber* const fiber = NextOfWarp(block, first);
    if (fiber == nullptr) break;
    Resume(scheduler_context, *fiber);
    ran = true;
  }
  return ran;
}

// Resumes every warp that can run, once. False when none could.
bool Round(const std::vector<std::unique_ptr<Block>>& blocks) {
  bool progress = false;
  for (const auto& block : blocks) {
    if (block->live == 0) continue;
    for (int first = 0; first < block->threads; first += kWarpSize)
      progress |= RunWarp(*block, first);
  }
  return progress;
}

void RunBlocks(const std::vector<std::unique_ptr<Block>>& blocks) {
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

// A fiber that polls looks again at what it waits for when the others have run.
void Yield() { GiveWay(); }

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
