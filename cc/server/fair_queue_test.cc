#include "cc/server/fair_queue.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gemma::server {
namespace {

using ::testing::ElementsAre;

std::shared_ptr<Job> JobOf(const std::string& key, int64_t name) {
  JobSpec spec;
  spec.key = key;
  spec.choices = name;
  return std::make_shared<Job>(std::move(spec));
}

std::vector<int64_t> PopAll(FairQueue& queue) {
  std::vector<int64_t> names;
  while (const std::shared_ptr<Job> job = queue.Pop()) names.push_back(job->spec().choices);
  return names;
}

TEST(FairQueue, OneKeyIsServedInOrder) {
  FairQueue queue(3, 1);
  for (int64_t i = 1; i <= 3; ++i) EXPECT_TRUE(queue.Push(JobOf("", i)));
  EXPECT_FALSE(queue.Push(JobOf("", 4)));
  EXPECT_TRUE(queue.Push(JobOf("", 4), /*extra=*/1));
  EXPECT_EQ(queue.size(), 4u);
  EXPECT_THAT(PopAll(queue), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(FairQueue, KeysTakeTurns) {
  FairQueue queue(10, 2);
  for (int64_t i = 1; i <= 3; ++i) EXPECT_TRUE(queue.Push(JobOf("many", i)));
  EXPECT_TRUE(queue.Push(JobOf("one", 10)));
  EXPECT_THAT(PopAll(queue), ElementsAre(1, 10, 2, 3));
}

TEST(FairQueue, NoKeyTakesThePlacesOfAnother) {
  FairQueue queue(5, 2);
  for (int64_t i = 1; i <= 3; ++i) EXPECT_TRUE(queue.Push(JobOf("many", i)));
  EXPECT_FALSE(queue.Push(JobOf("many", 4))) << "half of 5, rounded up";
  EXPECT_TRUE(queue.Push(JobOf("one", 10)));
}

TEST(FairQueue, CancelledJobsAreTakenOut) {
  FairQueue queue(5, 1);
  const auto left = JobOf("", 1);
  EXPECT_TRUE(queue.Push(left));
  EXPECT_TRUE(queue.Push(JobOf("", 2)));
  left->Cancel();
  EXPECT_EQ(queue.TakeCancelled().size(), 1u);
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.TakeAll().size(), 1u);
  EXPECT_EQ(queue.Pop(), nullptr);
}

}  // namespace
}  // namespace gemma::server
