// Threads that work through a region together. A region is one call of Run; inside it every thread
// calls the same kernels in the same order, each doing its slice, with a barrier between kernels
// that depend on one another:
//
//   pool.Run([&](Slice slice) {
//     kernels.rms_norm(norm, slice);
//     pool.Wait();
//     kernels.linear(linear, workspace, slice, nullptr);
//   });
//
// Waiting threads spin for some microseconds and then sleep, so a barrier is cheap when all threads
// run, and an idle or oversubscribed pool neither burns a core nor stalls.
#ifndef CC_KERNELS_CPU_THREAD_POOL_H_
#define CC_KERNELS_CPU_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace gemma::cpu {

// This thread's part of the work: `index` of `count`.
struct Slice {
  int index = 0;
  int count = 1;
};

struct Range {
  int64_t begin = 0;
  int64_t end = 0;
};

// The slice's share of [0, total): contiguous, near-equal parts whose borders are multiples of
// `multiple`.
Range Share(int64_t total, Slice slice, int64_t multiple = 1);

// Work on [0, total) that threads take as they come, for one operation of a region: a thread that
// something else holds up then leaves more of it to the others.
class Claims {
 public:
  // A piece that nobody has taken yet; an empty one when all is taken. Its borders are multiples of
  // `multiple`. Pieces are as large as `most` at first, and smaller as less is left for `threads`.
  Range Take(int64_t total, int threads, int64_t multiple, int64_t most);

  // To be called while no thread works.
  void Reset() { next_.store(0, std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<int64_t> next_{0};
};

// Calls function(Range) for this thread's parts of [0, total): its share, or where there are
// claims, what it can take.
template <typename Function>
void ForParts(int64_t total, Slice slice, Claims* claims, int64_t multiple, int64_t most,
              Function function) {
  if (claims == nullptr) return function(Share(total, slice, multiple));
  for (;;) {
    const Range part = claims->Take(total, slice.count, multiple, most);
    if (part.begin == part.end) return;
    function(part);
  }
}

// All `threads` threads must call Wait before any of them returns from it; reusable at once.
// What a thread wrote before Wait is visible to all after it.
class Barrier {
 public:
  explicit Barrier(int threads);
  void Wait();

 private:
  const int threads_;
  const int spins_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
};

class ThreadPool {
 public:
  static constexpr int kMaxThreads = 256;

  // The calling thread of Run is one of the `threads`; the others are started here.
  // InvalidArgument when threads is not in [1, kMaxThreads];
  // ResourceExhausted when one cannot be started.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Create(int threads);
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls region(Slice{i, threads()}) on every thread and returns when all have returned. Calls
  // from several threads take turns. A region must not throw and must not call Run.
  void Run(absl::FunctionRef<void(Slice)> region);

  // The barrier of the running region; to be called by all of its threads.
  void Wait() { barrier_.Wait(); }

 private:
  explicit ThreadPool(int threads);
  void Work(int index);

  const int threads_;
  const int spins_;
  Barrier barrier_;
  std::mutex run_mutex_;
  const absl::FunctionRef<void(Slice)>* region_ = nullptr;
  alignas(64) std::atomic<uint32_t> epoch_{0};  // counts regions; workers wait for a change
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace gemma::cpu

#endif  // CC_KERNELS_CPU_THREAD_POOL_H_
