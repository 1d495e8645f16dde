#include "cc/weights/load_tasks.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "cc/weights/weight_source.h"

namespace gemma {
namespace {

class NoSink final : public WeightSink {
 public:
  explicit NoSink(int max_reserved) : max_reserved_(max_reserved) {}
  int max_reserved() const override { return max_reserved_; }
  absl::StatusOr<std::byte*> Reserve(const WeightPiece&) override {
    return absl::UnimplementedError("nothing to reserve");
  }
  absl::Status Accept(const WeightPiece&, std::byte*) override {
    return absl::UnimplementedError("nothing to accept");
  }

 private:
  const int max_reserved_;
};

TEST(LoadThreads, AreAsManyAsTasksAndSinkAllow) {
  EXPECT_EQ(LoadThreads(5, 100, NoSink(32)), 5);
  EXPECT_EQ(LoadThreads(5, 3, NoSink(32)), 3);
  EXPECT_EQ(LoadThreads(5, 100, NoSink(2)), 2);
  EXPECT_EQ(LoadThreads(5, 0, NoSink(2)), 1);
  EXPECT_GE(LoadThreads(0, 100, NoSink(32)), 1);
  EXPECT_LE(LoadThreads(0, 100, NoSink(32)), 16);
}

TEST(RunLoadTasks, EachTaskRunsOnce) {
  for (const int threads : {1, 2, 7}) {
    std::vector<std::atomic<int>> runs(1000);
    ASSERT_TRUE(RunLoadTasks(runs.size(), threads, [&](size_t task, const LoadStopped& stopped) {
                  EXPECT_FALSE(stopped);
                  ++runs[task];
                  return absl::OkStatus();
                }).ok());
    for (const auto& count : runs) EXPECT_EQ(count, 1);
  }
}

TEST(RunLoadTasks, AnErrorStopsTheOthersAndTheLowestIsReturned) {
  for (const int threads : {1, 2, 7}) {
    std::atomic<int> begun{0};
    const absl::Status status =
        RunLoadTasks(100000, threads, [&](size_t task, const LoadStopped& stopped) {
          ++begun;
          if (task == 20) return absl::DataLossError("task 20");
          if (task < 20) return absl::OkStatus();
          while (!stopped) std::this_thread::yield();  // as a long task does
          return task % 2 == 0 ? absl::CancelledError("stopped") : absl::DataLossError("late");
        });
    EXPECT_EQ(status.message(), "task 20");
    EXPECT_LE(begun, 21 + threads);
  }
}

TEST(RunLoadTasks, ATaskThatCancelsByItselfIsAnError) {
  const absl::Status status = RunLoadTasks(
      10, 1, [](size_t, const LoadStopped&) { return absl::CancelledError("interrupted"); });
  EXPECT_EQ(status.message(), "interrupted");
}

TEST(ByteProgress, Adds) {
  std::string reports;
  ByteProgress progress(10, [&](uint64_t done, uint64_t total) {
    reports += std::to_string(done) + "/" + std::to_string(total) + " ";
  });
  progress.Add(3);
  progress.Add(7);
  EXPECT_EQ(reports, "3/10 10/10 ");
  ByteProgress(5, nullptr).Add(5);
}

}  // namespace
}  // namespace gemma
