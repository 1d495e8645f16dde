#include "cc/kernels/cpu/thread_pool.h"

#include <algorithm>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace gemma::cpu {
namespace {

// How long a waiting thread spins before it sleeps: some 20 microseconds, more than a barrier
// between kernels of one token usually takes and about what it costs to wake a sleeper.
constexpr int kSpins = 1000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns when `word` differs from `old`.
void AwaitChange(const std::atomic<uint32_t>& word, uint32_t old, int spins) {
  for (int i = 0; i < spins; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  word.wait(old, std::memory_order_acquire);
}

// With fewer cores than threads, whoever spins keeps away the thread that it waits for.
int SpinsFor(int threads) {
  return threads <= static_cast<int>(std::thread::hardware_concurrency()) ? kSpins : 0;
}

}  // namespace

Range Share(int64_t total, Slice slice, int64_t multiple) {
  const int64_t units = (total + multiple - 1) / multiple;
  const int64_t begin = units * slice.index / slice.count * multiple;
  const int64_t end = units * (slice.index + 1) / slice.count * multiple;
  return {std::min(begin, total), std::min(end, total)};
}

Range Claims::Take(int64_t total, int threads, int64_t multiple, int64_t most) {
  int64_t begin = next_.load(std::memory_order_relaxed);
  for (;;) {
    if (begin >= total) return {total, total};
    const int64_t fair = std::min((total - begin) / threads, most);
    const int64_t size = std::max<int64_t>(1, fair / multiple) * multiple;
    const int64_t end = std::min(total, begin + size);
    // What is taken was written before the region, so the number alone must be right.
    if (next_.compare_exchange_weak(begin, end, std::memory_order_relaxed)) return {begin, end};
  }
}

Barrier::Barrier(int threads) : threads_(threads), spins_(SpinsFor(threads)) {}

void Barrier::Wait() {
  if (threads_ == 1) return;
  const uint32_t generation = generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < threads_) {
    AwaitChange(generation_, generation, spins_);
    return;
  }
  arrived_.store(0, std::memory_order_relaxed);
  generation_.fetch_add(1);
  generation_.notify_all();
}

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Create(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat(threads, " threads were asked for (use 1 to ", kMaxThreads, ")"));
  }
  std::unique_ptr<ThreadPool> pool(new ThreadPool(threads));
  try {
    for (int i = 1; i < threads; ++i) pool->workers_.emplace_back(&ThreadPool::Work, pool.get(), i);
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat("thread ", pool->workers_.size() + 2, " of ",
                                                     threads,
                                                     " could not be started: ", error.what()));
  }
  return pool;
}

ThreadPool::ThreadPool(int threads)
    : threads_(threads), spins_(SpinsFor(threads)), barrier_(threads) {}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(absl::FunctionRef<void(Slice)> region) {
  std::lock_guard lock(run_mutex_);
  region_ = &region;
  epoch_.fetch_add(1);
  epoch_.notify_all();
  region(Slice{0, threads_});
  barrier_.Wait();
}

void ThreadPool::Work(int index) {
  for (uint32_t epoch = 0;; ++epoch) {
    AwaitChange(epoch_, epoch, spins_);
    if (stop_.load()) return;
    (*region_)(Slice{index, threads_});
    barrier_.Wait();
  }
}

}  // namespace gemma::cpu
