#include "cc/plan/plan_read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "cc/plan/limits.h"
#include "cc/plan/testing/plan_writer.h"
#include "cc/plan/testing/tiny_model.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span<const char>(text));
}

std::string Message(const std::string& payload) {
  const absl::StatusOr<Plan> plan = ReadPlan(AsBytes(payload));
  return plan.ok() ? "accepted" : std::string(plan.status().message());
}

Plan TinyPlan(PlanMethod method = PlanMethod::kPrefill) { return TinyModel({}).MakePlan(method); }

TEST(ReadPlanTest, ReturnsWhatWasWritten) {
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
    const Plan written = TinyPlan(method);
    const absl::StatusOr<Plan> read = ReadPlan(AsBytes(WritePlan(written)));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->method, method);
    EXPECT_EQ(read->model, "tiny");
    EXPECT_EQ(read->weights.size(), written.weights.size());
    EXPECT_EQ(read->caches.size(), written.caches.size());
    EXPECT_EQ(read->steps.size(), written.steps.size());
    // Writing what was read gives the same bytes: no field was lost.
    EXPECT_EQ(WritePlan(*read), WritePlan(written));
  }
}

// Older plans state no precision: their caches' type says it.
TEST(ReadPlanTest, CachesSayThePrecisionOfOlderPlans) {
  const auto precision_of = [](CacheType first, CacheType second) {
    Plan plan = TinyPlan();
    plan.activations = ActivationPrecision{};  // not written: it is the schema's default
    plan.caches[0].type = first;
    plan.caches[1].type = second;
    return ReadPlan(AsBytes(WritePlan(plan)))->activations;
  };
  const auto kF32 = CacheType::kF32, kBF16 = CacheType::kBF16;
  EXPECT_EQ(precision_of(kF32, kF32), ActivationPrecision::kFloat16Pairs);
  EXPECT_EQ(precision_of(kBF16, kBF16), ActivationPrecision::kFloat16);
  EXPECT_EQ(precision_of(kF32, kBF16), ActivationPrecision::kFloat16);
}

TEST(ReadPlanTest, AcceptsAnyAlignment) {
  const std::string payload = WritePlan(TinyPlan());
  for (size_t shift = 1; shift < 8; ++shift) {
    const std::string shifted = std::string(shift, 'x') + payload;
    EXPECT_TRUE(ReadPlan(AsBytes(shifted).subspan(shift)).ok()) << shift;
  }
}

TEST(ReadPlanTest, RefusesEveryTruncation) {
  const std::string payload = WritePlan(TinyPlan());
  for (size_t size = 0; size + 8 < payload.size(); ++size) {
    ASSERT_NE(Message(payload.substr(0, size)), "accepted") << size << " of " << payload.size();
  }
}

// Flipped bits may give another well-formed plan;
// what matters is that none gives a crash (run under sanitizers).
TEST(ReadPlanTest, SurvivesFlippedBits) {
  const std::string payload = WritePlan(TinyPlan());
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = payload;
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
      damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    }
    refused += ReadPlan(AsBytes(damaged)).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 1000);
}

TEST(ReadPlanTest, NamesWhatIsWrong) {
  EXPECT_THAT(Message(""), HasSubstr("payload of 0 bytes is not a plan"));
  EXPECT_THAT(Message(std::string(100, 'x')), HasSubstr("not a plan"));
  EXPECT_THAT(Message(WritePlan(TinyPlan(), /*version=*/2)), HasSubstr("version 2 is not 1"));
  EXPECT_THAT(Message(std::string(PlanLimits::kPayloadBytes + 1, 0)), HasSubstr("is larger than"));
}

TEST(ReadPlanTest, RefusesNamesThatCannotBeShown) {
  Plan plan = TinyPlan();
  plan.weights[3].name = "a\x1b[2J";
  EXPECT_THAT(Message(WritePlan(plan)), HasSubstr("the name of weight 3 has byte 27"));
  plan = TinyPlan();
  plan.steps[2].name = "";
  EXPECT_THAT(Message(WritePlan(plan)), HasSubstr("the name of step 2 has 0 bytes"));
  plan = TinyPlan();
  plan.values[1].name = std::string(257, 'v');
  EXPECT_THAT(Message(WritePlan(plan)),
              HasSubstr("the name of value 1 has 257 bytes (1 to 256 are allowed)"));
}

TEST(ReadPlanTest, RefusesUnknownEnums) {
  Plan plan = TinyPlan();
  plan.weights[0].shape.layout = static_cast<WeightLayout>(kWeightLayouts);
  EXPECT_THAT(Message(WritePlan(plan)), HasSubstr("weight embed_tokens.weight has layout 14"));
  plan = TinyPlan();
  plan.caches[0].type = static_cast<CacheType>(7);
  EXPECT_THAT(Message(WritePlan(plan)),
              HasSubstr("cache layers.0.kv_cache has dtype 7 (known are 0 to 2)"));
  plan = TinyPlan();
  plan.activations = static_cast<ActivationPrecision>(3);
  EXPECT_THAT(Message(WritePlan(plan)),
              HasSubstr("the precision of activations is 3 (known are 0 to 2)"));
}

TEST(ReadPlanTest, RefusesTooMany) {
  Plan plan = TinyPlan();
  plan.values.resize(PlanLimits::kValues + 1, {"v", 1, false});
  EXPECT_THAT(Message(WritePlan(plan)), HasSubstr("16385 values are more than 16384"));
}

TEST(ReadPlanTest, RefusesUnequalProjections) {
  Plan plan = TinyPlan();
  for (PlanStep& step : plan.steps) {
    if (auto* linear = std::get_if<LinearStep>(&step.operation)) {
      linear->outs.pop_back();
      break;
    }
  }
  EXPECT_THAT(Message(WritePlan(plan)), HasSubstr("has 3 weights and 2 outputs"));
}

}  // namespace
}  // namespace gemma
