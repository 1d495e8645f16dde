#include "cc/weights/loaded_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;

TEST(WeightStoreTest, LoadsEachWeightOnce) {
  const TinyModel model({});
  MemoryWeights source(model.data);
  LoadedWeights store;
  const Plan prefill = model.MakePlan(PlanMethod::kPrefill);
  ASSERT_TRUE(store.Load(prefill.weights, source).ok());
  EXPECT_EQ(source.delivered, static_cast<int>(model.data.size()));
  ASSERT_TRUE(store.Load(model.MakePlan(PlanMethod::kDecode).weights, source).ok());
  EXPECT_EQ(source.reads, 1);

  uint64_t bytes = 0;
  for (const PlanWeight& weight : prefill.weights) {
    const auto view = store.Find(weight);
    ASSERT_TRUE(view.ok()) << view.status();
    const auto& expected = model.data.at(weight.data_key);
    EXPECT_EQ(std::memcmp(view->data, expected.data(), expected.size()), 0) << weight.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % 64, 0u);
    bytes += expected.size();
  }
  EXPECT_GE(store.bytes(), bytes);
  EXPECT_LE(store.bytes(), bytes + 256 * (prefill.weights.size() + 1));
}

TEST(WeightStoreTest, TwoNamesOfOneDataShareMemory) {
  const TinyModel model({});
  MemoryWeights source(model.data);
  LoadedWeights store;
  PlanWeight embedding = model.table[0];
  PlanWeight head = embedding;
  head.name = "lm_head.weight";
  ASSERT_TRUE(store.Load(std::vector<PlanWeight>{embedding, head}, source).ok());
  EXPECT_EQ(source.delivered, 1);
  EXPECT_EQ(store.Find(embedding)->data, store.Find(head)->data);
}

TEST(WeightStoreTest, RefusesOneDataReadInTwoWays) {
  const TinyModel model({});
  MemoryWeights source(model.data);
  LoadedWeights store;
  const PlanWeight weight = model.table[0];
  ASSERT_TRUE(store.Load(std::vector<PlanWeight>{weight}, source).ok());
  PlanWeight other = weight;
  std::swap(other.shape.rows, other.shape.columns);
  EXPECT_THAT(std::string(store.Find(other).status().message()),
              HasSubstr("was loaded with another layout"));
  EXPECT_FALSE(store.Load(std::vector<PlanWeight>{other}, source).ok());
}

TEST(WeightStoreTest, AFailedLoadChangesNothing) {
  TinyModel model({});
  const Plan plan = model.MakePlan(PlanMethod::kPrefill);
  auto data = model.data;
  data.erase("norm.weight");
  MemoryWeights incomplete(data);
  LoadedWeights store;
  EXPECT_EQ(store.Load(plan.weights, incomplete).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store.bytes(), 0u);
  EXPECT_EQ(store.Find(plan.weights[0]).status().code(), absl::StatusCode::kNotFound);
  MemoryWeights complete(model.data);
  EXPECT_TRUE(store.Load(plan.weights, complete).ok());
}

TEST(WeightStoreTest, TooLargeIsAnError) {
  PlanWeight weight = {
      "huge", "huge", {WeightLayout::kF32, 0xffffffff, 0xffffffff, 0}, ~0ull - 100};
  MemoryWeights source({});
  LoadedWeights store;
  EXPECT_EQ(store.Load(std::vector<PlanWeight>{weight}, source).code(),
            absl::StatusCode::kOutOfRange);
  weight.bytes = 1ull << 60;  // and 256 for the alignment of what comes after
  const absl::Status status = store.Load(std::vector<PlanWeight>{weight}, source);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(status.message()), "no memory for 1152921504606847232 bytes of weights");
}

}  // namespace
}  // namespace gemma
