#include "cc/plan/activation_memory.h"

#include <gtest/gtest.h>

#include "cc/plan/testing/tiny_model.h"

namespace gemma {
namespace {

// First and last step that touch each value; {1, 0} for none.
std::vector<std::pair<size_t, size_t>> Lifetimes(const Plan& plan) {
  std::vector<std::pair<size_t, size_t>> lifetimes(plan.values.size(), {1, 0});
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    StepOperands operands = OperandsOf(plan.steps[i].operation);
    operands.reads.insert(operands.reads.end(), operands.writes.begin(), operands.writes.end());
    for (const Index value : operands.reads) {
      if (lifetimes[value].first > lifetimes[value].second) lifetimes[value] = {i, i};
      lifetimes[value].second = i;
    }
  }
  return lifetimes;
}

TEST(PlanActivationsTest, ValuesAliveTogetherAreApart) {
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
    const Plan plan = TinyModel({.layers = 6}).MakePlan(method);
    const auto activations = PlaceActivations(plan, 1000);
    ASSERT_TRUE(activations.ok());
    const auto lifetimes = Lifetimes(plan);
    for (size_t a = 0; a < plan.values.size(); ++a) {
      const MemoryRange& range = activations->values[a];
      EXPECT_GE(range.size, plan.Rows(a, plan.max_tokens) * plan.values[a].columns * sizeof(float));
      EXPECT_EQ(range.offset % 64, 0u);
      EXPECT_LE(range.offset + range.size, activations->bytes);
      for (size_t b = 0; b < a; ++b) {
        const bool together =
            lifetimes[a].first <= lifetimes[b].second && lifetimes[b].first <= lifetimes[a].second;
        EXPECT_FALSE(together && range.Overlaps(activations->values[b]))
            << plan.values[a].name << " " << plan.values[b].name;
      }
    }
  }
}

TEST(PlanActivationsTest, MemoryDoesNotGrowWithLayers) {
  const auto three = PlaceActivations(TinyModel({.layers = 3}).MakePlan(PlanMethod::kPrefill), 0);
  const auto nine = PlaceActivations(TinyModel({.layers = 9}).MakePlan(PlanMethod::kPrefill), 0);
  EXPECT_EQ(three->bytes, nine->bytes);
}

TEST(PlanActivationsTest, ScratchIsApartFromTheLastStepsValues) {
  const Plan plan = TinyModel({}).MakePlan(PlanMethod::kScore);
  const auto activations = PlaceActivations(plan, 12345);
  const auto& score = std::get<ScoreStep>(plan.steps.back().operation);
  EXPECT_GE(activations->scratch.size, 12345u);
  EXPECT_FALSE(activations->scratch.Overlaps(activations->values[score.in]));
}

TEST(PlanActivationsTest, SizesThatDoNotFitAreAnError) {
  Plan plan = TinyModel({}).MakePlan(PlanMethod::kPrefill);
  EXPECT_FALSE(PlaceActivations(plan, ~0ull).ok());
}

// Between two steps that depend on one another there is a barrier.
TEST(PlanBarriersTest, DependentStepsAreSeparated) {
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
    const Plan plan = TinyModel({}).MakePlan(method);
    const auto activations = PlaceActivations(plan, 1000);
    const std::vector<bool> barriers = FindBarriers(plan, *activations);
    ASSERT_EQ(barriers.size(), plan.steps.size());
    EXPECT_FALSE(barriers[0]);
    for (size_t later = 1; later < plan.steps.size(); ++later) {
      const StepOperands after = OperandsOf(plan.steps[later].operation);
      for (size_t earlier = later; earlier-- > 0;) {
        if (barriers[earlier + 1]) break;  // what is before it is separated
        const StepOperands before = OperandsOf(plan.steps[earlier].operation);
        const auto conflict = [&](const std::vector<Index>& a, const std::vector<Index>& b) {
          for (const Index x : a) {
            for (const Index y : b) {
              if (activations->values[x].Overlaps(activations->values[y])) return true;
            }
          }
          return false;
        };
        EXPECT_FALSE(conflict(before.writes, after.reads) ||
                     conflict(before.writes, after.writes) || conflict(before.reads, after.writes))
            << plan.steps[earlier].name << " and " << plan.steps[later].name;
        EXPECT_FALSE(before.cache_written != kAbsent && before.cache_written == after.cache_read);
      }
    }
  }
}

TEST(PlanBarriersTest, IndependentStepsAreNot) {
  Plan plan;
  plan.method = PlanMethod::kPrefill;
  plan.max_tokens = 4;
  plan.values = {{"a", 8, false}, {"b", 8, false}, {"c", 8, false}, {"d", 8, false}};
  plan.steps = {{"one", SoftcapStep{0, 1, 1}},
                {"two", SoftcapStep{2, 1, 3}},
                {"three", AddStep{1, 3, 0}},
                {"keep", AddStep{0, 2, 0}}};
  const auto activations = PlaceActivations(plan, 0);
  EXPECT_EQ(FindBarriers(plan, *activations), (std::vector<bool>{false, false, true, true}));
}

}  // namespace
}  // namespace gemma
