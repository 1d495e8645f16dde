#include "cc/executor/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cc/executor/fake_executor.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"

namespace gemma {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ModelTest : public ::testing::Test {
 protected:
  void Load(std::vector<PlanMethod> methods = {PlanMethod::kPrefill, PlanMethod::kDecode,
                                               PlanMethod::kScore}) {
    for (const PlanMethod method : methods)
      ASSERT_TRUE(model_.AddPlan(tiny_.MakePlan(method)).ok());
    MemoryWeights source(tiny_.data);
    ASSERT_TRUE(model_.Load(source).ok());
  }

  absl::Status Prefill(SessionState& session, std::vector<int64_t> tokens, int64_t start,
                       SamplingParams sampling = {}) {
    Call call = {.tokens = tokens, .start = start, .sampling = sampling, .targets = {}};
    return model_.Run(PlanMethod::kPrefill, session, call, {.token = &token_});
  }

  TinyModel tiny_{TinyModelConfig{}};
  FakeExecutor* executor_ = new FakeExecutor;
  Model model_{std::unique_ptr<Executor>(executor_)};
  int64_t token_ = 0;
};

TEST_F(ModelTest, SessionsAdvanceWithCalls) {
  Load();
  executor_->script = {7, 8};
  const auto session = *model_.NewSession();
  ASSERT_TRUE(Prefill(*session, {1, 2, 3}, 0, {.temperature = 1, .seed = 5}).ok());
  EXPECT_EQ(token_, 7);
  EXPECT_EQ(session->length(), 3);
  const std::vector<int64_t> next = {token_};
  ASSERT_TRUE(model_
                  .Run(PlanMethod::kDecode, *session,
                       {.tokens = next, .start = 3, .sampling = {}, .targets = {}},
                       {.token = &token_})
                  .ok());
  EXPECT_EQ(token_, 8);
  EXPECT_EQ(session->length(), 4);
  ASSERT_EQ(executor_->calls.size(), 2u);
  EXPECT_EQ(executor_->calls[0].drawn_position, 3u) << "the drawn token's position";
  EXPECT_EQ(executor_->calls[0].sampling.seed, 5u);
  EXPECT_EQ(executor_->calls[1].method, PlanMethod::kDecode);
  EXPECT_EQ(executor_->calls[1].drawn_position, 4u);
}

TEST_F(ModelTest, AFailedCallLeavesTheSessionAtItsStart) {
  Load();
  executor_->script = {1, absl::CancelledError("stop"), 2};
  const auto session = *model_.NewSession();
  ASSERT_TRUE(Prefill(*session, {1, 2, 3}, 0).ok());
  EXPECT_EQ(Prefill(*session, {4, 5}, 3).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(session->length(), 3);
  EXPECT_TRUE(Prefill(*session, {4, 5}, 3).ok());
  EXPECT_EQ(session->length(), 5);
}

TEST_F(ModelTest, CallsAreChecked) {
  Load();
  const auto session = *model_.NewSession();
  const auto message = [&](std::vector<int64_t> tokens, int64_t start,
                           SamplingParams sampling = {}) {
    return std::string(Prefill(*session, tokens, start, sampling).message());
  };
  EXPECT_EQ(message({}, 0), "prefill takes 1 to 16 tokens a call, not 0");
  EXPECT_EQ(message(std::vector<int64_t>(17), 0), "prefill takes 1 to 16 tokens a call, not 17");
  EXPECT_EQ(message({1, 128}, 0), "token 1 has id 128, which is not in [0, 128)");
  EXPECT_EQ(message({-1}, 0), "token 0 has id -1, which is not in [0, 128)");
  EXPECT_THAT(message({1}, 1), HasSubstr("position 1 is not within the session's 0 positions"));
  EXPECT_EQ(message({1}, 0, {.temperature = -1}),
            "temperature is -1 (0, which is greedy, and 1e-6 to 1e6 are allowed)");
  EXPECT_THAT(message({1}, 0, {.temperature = NAN}), HasSubstr("temperature is nan"));
  EXPECT_EQ(message({1}, 0, {.top_k = -1}), "top_k is -1 (0 to 16777216 are allowed)");
  EXPECT_EQ(message({1}, 0, {.top_p = 0}), "top_p is 0 (more than 0, to 1 are allowed)");
  EXPECT_THAT(message({1}, 0, {.top_p = NAN}), HasSubstr("top_p is nan"));
  EXPECT_EQ(message({1}, 0, {.min_p = 1.5}), "min_p is 1.5 (0 to 1 are allowed)");
  EXPECT_TRUE(executor_->calls.empty());
  EXPECT_EQ(session->length(), 0);
}

TEST_F(ModelTest, ScoreCallsNeedRoomForEverything) {
  Load();
  const auto session = *model_.NewSession();
  const std::vector<int64_t> tokens = {1, 2};
  std::vector<int64_t> targets = {2, -1};
  std::vector<float> logprobs(2);
  std::vector<int64_t> ids(10);
  std::vector<float> top(10);
  Call call = {.tokens = tokens, .sampling = {}, .targets = targets};
  CallResults results = {.logprobs = logprobs, .top_ids = ids, .top_logprobs = top};
  EXPECT_TRUE(model_.Run(PlanMethod::kScore, *session, call, results).ok());
  results.top_ids = std::span(ids).first(9);
  EXPECT_EQ(std::string(model_.Run(PlanMethod::kScore, *session, call, results).message()),
            "results have room for 2, 9 and 10 numbers instead of 2, 10 and 10");
  results.top_ids = ids;
  targets[0] = -2;
  EXPECT_EQ(std::string(model_.Run(PlanMethod::kScore, *session, call, results).message()),
            "target 0 has id -2, which is not in [-1, 128)");
  call.targets = std::span(targets).first(1);
  EXPECT_EQ(std::string(model_.Run(PlanMethod::kScore, *session, call, results).message()),
            "1 targets for 2 tokens");
}

TEST_F(ModelTest, SessionsOfOtherModelsAreRefused) {
  Load();
  Model other(std::make_unique<FakeExecutor>());
  ASSERT_TRUE(other.AddPlan(tiny_.MakePlan(PlanMethod::kPrefill)).ok());
  MemoryWeights source(tiny_.data);
  ASSERT_TRUE(other.Load(source).ok());
  const auto session = *other.NewSession();
  EXPECT_EQ(std::string(Prefill(*session, {1}, 0).message()),
            "the session belongs to another model");
}

TEST_F(ModelTest, MethodsThatAreNotThereAreRefused) {
  Load({PlanMethod::kScore});
  EXPECT_EQ(model_.FindPlan(PlanMethod::kPrefill), nullptr);
  const auto session = *model_.NewSession();
  EXPECT_EQ(Prefill(*session, {1}, 0).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ModelTest, NothingRunsBeforeLoad) {
  ASSERT_TRUE(model_.AddPlan(tiny_.MakePlan(PlanMethod::kPrefill)).ok());
  EXPECT_EQ(model_.NewSession().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ModelTest, PlansShareCachesAndWeights) {
  Load();
  EXPECT_EQ(model_.caches().size(), 3u);
  for (const auto& slots : executor_->cache_slots) EXPECT_THAT(slots, ElementsAre(0, 1, 2));
}

TEST_F(ModelTest, PlansMustAgree) {
  ASSERT_TRUE(model_.AddPlan(tiny_.MakePlan(PlanMethod::kPrefill)).ok());
  const auto message = [&](auto spoil) {
    Plan plan = tiny_.MakePlan(PlanMethod::kDecode);
    spoil(plan);
    return std::string(model_.AddPlan(plan).message());
  };
  EXPECT_EQ(message([](Plan& p) { p.method = PlanMethod::kPrefill; }),
            "the model has two plans of prefill");
  EXPECT_EQ(message([](Plan& p) { p.model = "other"; }),
            "the plans of decode and prefill disagree about the model (other, tiny)");
  EXPECT_EQ(message([](Plan& p) { p.vocab_size = 5; }),
            "the plans of decode and prefill disagree about vocab_size (5, 128)");
  EXPECT_EQ(message([](Plan& p) { p.max_context = 65; }),
            "the plans of decode and prefill disagree about max_context (65, 64)");
  EXPECT_EQ(message([](Plan& p) { p.caches[1].capacity = 30; }),
            "the plans of decode and prefill disagree about cache layers.1.kv_cache");
  EXPECT_EQ(message([](Plan& p) { p.weights[2].bytes = 1; }),
            "the plans of decode and prefill disagree about the layout, shape or size of weight "
            "layers.0.k_proj");
  EXPECT_EQ(message([](Plan&) {}), "");
}

}  // namespace
}  // namespace gemma
