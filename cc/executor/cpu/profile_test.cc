// The profile of a tiny model on the CPU: every step is timed, and what it reads and computes is counted.
#include "cc/executor/cpu/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "cc/executor/cpu/executor.h"
#include "cc/executor/model.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"

namespace gemma {
namespace {

std::unique_ptr<Model> CpuModel(const TinyModel& tiny) {
  auto model = std::make_unique<Model>(*CpuExecutor::Create({.threads = 2}));
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode})
    EXPECT_TRUE(model->AddPlan(tiny.MakePlan(method)).ok());
  MemoryWeights source(tiny.data);
  EXPECT_TRUE(model->Load(source).ok());
  return model;
}

TEST(CpuProfileTest, ProfilesEveryStep) {
  const TinyModel tiny({});
  const std::unique_ptr<Model> model = CpuModel(tiny);
  const auto session = *model->NewSession();
  const int64_t steps = static_cast<int64_t>(tiny.MakePlan(PlanMethod::kPrefill).steps.size());
  for (const int64_t tokens : {int64_t{1}, int64_t{5}}) {
    const std::vector<StepTime> times = *model->Profile(*session, 20, tokens);
    int64_t timed = 0;
    for (const StepTime& time : times) {
      EXPECT_GE(time.microseconds, 0) << time.kind;
      EXPECT_LT(time.microseconds, 1e8) << time.kind;
      timed += time.steps;
    }
    EXPECT_EQ(timed, steps);
    EXPECT_LT(times.size(), static_cast<size_t>(steps));  // layers share their kinds
  }
}

// What is read and computed is counted by hand: q of 3 layers, and the keys that a query sees.
TEST(CpuProfileTest, AProfileCountsBytesAndOperations) {
  const TinyModel tiny({});
  const std::unique_ptr<Model> model = CpuModel(tiny);
  const auto session = *model->NewSession();
  const Plan plan = tiny.MakePlan(PlanMethod::kPrefill);
  const int64_t start = 20, tokens = 5;
  uint64_t bytes = 0;
  double operations = 0;
  const std::vector<StepTime> times = *model->Profile(*session, start, tokens);
  for (const StepTime& time : times) {
    bytes += time.bytes_read;
    operations += time.operations;
  }
  uint64_t expected_bytes = 0;
  double expected_operations = 0;
  for (const PlanStep& step : plan.steps) {
    const auto* linear = std::get_if<LinearStep>(&step.operation);
    if (linear == nullptr) continue;
    for (const Index index : linear->weights) {
      expected_bytes += plan.weights[index].bytes;
      const WeightShape& shape = plan.weights[index].shape;
      expected_operations += 2.0 * static_cast<double>(shape.rows * shape.columns) *
                             static_cast<double>(plan.Rows(linear->in, tokens));
    }
  }
  for (const PlanCache& cache : plan.caches) {
    const int64_t seen =
        cache.window == 0 ? start + tokens : std::min(cache.window, start + tokens);
    expected_bytes += static_cast<uint64_t>(seen * cache.kv_heads * cache.head_dim) * 2 *
                      CacheElementBytes(cache.type);
  }
  EXPECT_EQ(bytes, expected_bytes);
  EXPECT_EQ(operations, expected_operations);
}

TEST(CpuProfileTest, AProfileBeyondTheContextIsAnError) {
  const TinyModel tiny({});
  const std::unique_ptr<Model> model = CpuModel(tiny);
  const auto session = *model->NewSession();
  const int64_t context = tiny.MakePlan(PlanMethod::kDecode).max_context;
  EXPECT_TRUE(model->Profile(*session, context - 1, 1).ok());
  EXPECT_THAT(std::string(model->Profile(*session, context, 1).status().message()),
              ::testing::HasSubstr("no profile of decode with 1 tokens at position"));
  EXPECT_FALSE(model->Profile(*session, 0, 1000).ok());
}

}  // namespace
}  // namespace gemma
