#include "cc/kernels/cpu/thread_pool.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <vector>

#include "gtest/gtest.h"

namespace gemma::cpu {
namespace {

std::unique_ptr<ThreadPool> Pool(int threads) {
  auto pool = ThreadPool::Create(threads);
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

TEST(ClaimsTest, GiveLargePiecesFirstAndEveryoneTheirRest) {
  Claims claims;
  std::vector<int64_t> sizes;
  int64_t next = 0;
  const auto take = [&] { return claims.Take(1003, 4, 4, 96); };
  for (Range part = take(); part.begin != part.end; part = take()) {
    EXPECT_EQ(part.begin, next);
    next = part.end;
    EXPECT_EQ(part.begin % 4, 0);
    sizes.push_back(part.end - part.begin);
  }
  EXPECT_EQ(next, 1003);
  EXPECT_EQ(sizes.front(), 96);
  EXPECT_EQ(sizes.back(), 3);
  EXPECT_TRUE(std::is_sorted(sizes.rbegin(), sizes.rend()));
  claims.Reset();
  EXPECT_EQ(claims.Take(3, 4, 4, 96).end, 3);
  EXPECT_EQ(claims.Take(3, 4, 4, 96).begin, 3);
}

TEST(ClaimsTest, ThreadsTakeEveryNumberOnce) {
  const auto pool = ThreadPool::Create(4);
  ASSERT_TRUE(pool.ok());
  std::vector<std::atomic<int>> taken(5000);
  Claims claims;
  (*pool)->Run([&](Slice slice) {
    ForParts(std::ssize(taken), slice, &claims, 8, 64, [&](Range part) {
      for (int64_t i = part.begin; i < part.end; ++i) ++taken[i];
    });
  });
  for (const auto& count : taken) EXPECT_EQ(count, 1);
}

TEST(ShareTest, CoversEverythingOnceAtMultiples) {
  for (int64_t total : {0, 1, 7, 14, 33, 640, 262144}) {
    for (int count : {1, 2, 3, 8}) {
      for (int64_t multiple : {1, 4, 14}) {
        int64_t covered = 0;
        for (int i = 0; i < count; ++i) {
          const Range range = Share(total, {i, count}, multiple);
          EXPECT_EQ(range.begin, covered);
          EXPECT_TRUE(range.begin % multiple == 0 || range.begin == total);
          covered = range.end;
        }
        EXPECT_EQ(covered, total);
      }
    }
  }
}

TEST(ThreadPoolTest, RefusesOddNumbersOfThreads) {
  EXPECT_EQ(ThreadPool::Create(0).status().message(), "0 threads were asked for (use 1 to 256)");
  EXPECT_FALSE(ThreadPool::Create(257).ok());
}

TEST(ThreadPoolTest, EveryThreadRunsEveryRegionOnce) {
  for (int threads : {1, 2, 5}) {
    const auto pool = Pool(threads);
    std::vector<int> calls(threads);
    for (int region = 0; region < 100; ++region) {
      pool->Run([&](Slice slice) {
        EXPECT_EQ(slice.count, threads);
        ++calls[slice.index];
      });
    }
    EXPECT_EQ(calls, std::vector<int>(threads, 100));
  }
}

// Each thread adds what its neighbour wrote before the last barrier: any lost wait or missing write
// shows in the sums. Five threads are more than most test machines have cores, so sleeping and
// waking is tested too.
TEST(ThreadPoolTest, BarrierOrdersWrites) {
  for (int threads : {2, 5}) {
    constexpr int kRounds = 500;
    const auto pool = Pool(threads);
    std::vector<int64_t> even(threads, 1), odd(threads, 0);
    pool->Run([&](Slice slice) {
      const int neighbour = (slice.index + 1) % slice.count;
      for (int round = 0; round < kRounds; ++round) {
        odd[slice.index] = even[neighbour] + 1;
        pool->Wait();
        even[slice.index] = odd[neighbour] + 1;
        pool->Wait();
      }
    });
    EXPECT_EQ(even, std::vector<int64_t>(threads, 1 + 2 * kRounds));
  }
}

TEST(ThreadPoolTest, CallersTakeTurns) {
  const auto pool = Pool(2);
  int64_t counter = 0;  // guarded by the pool's turn-taking and its barriers alone
  auto caller = [&] {
    for (int i = 0; i < 200; ++i) {
      pool->Run([&](Slice slice) {
        if (slice.index == 0) ++counter;
        pool->Wait();
        if (slice.index == 1) ++counter;
      });
    }
  };
  std::thread other(caller);
  caller();
  other.join();
  EXPECT_EQ(counter, 800);
}

double ProcessorSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
         (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

TEST(ThreadPoolTest, AnIdlePoolSleeps) {
  const auto pool = Pool(3);
  pool->Run([](Slice) {});
  const double before = ProcessorSeconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(ProcessorSeconds() - before, 0.05);
}

TEST(ThreadPoolTest, PrintsTheCostOfABarrier) {
  constexpr int kWaits = 20000;
  const auto pool = Pool(2);
  const auto start = std::chrono::steady_clock::now();
  pool->Run([&](Slice) {
    for (int i = 0; i < kWaits; ++i) pool->Wait();
  });
  const std::chrono::duration<double, std::micro> elapsed =
      std::chrono::steady_clock::now() - start;
  std::printf("barrier of 2 threads: %.2f us\n", elapsed.count() / kWaits);
  EXPECT_LT(elapsed.count() / kWaits, 1000);
}

}  // namespace
}  // namespace gemma::cpu
