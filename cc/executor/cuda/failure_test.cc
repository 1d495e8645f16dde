// What the CUDA executor does when the GPU fails it: launches that are errors, and a GPU that
// answers nothing any more. With the kernels emulated, since a real GPU does not fail on demand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cc/executor/cuda/executor.h"
#include "cc/executor/model.h"
#include "cc/kernels/cuda/emulation/emulation.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"

namespace gemma {
namespace {

TinyModelConfig Config() {
  return {.hidden = 128,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 64,
          .mlp = 192,
          .window = 8,
          .max_tokens = 9,
          .max_context = 32,
          .attention_scale = 0.125f,
          .layout = WeightLayout::kInt4};
}

std::unique_ptr<Model> CudaModel(const TinyModel& tiny) {
  const cuda::TestContext context;
  auto model = std::make_unique<Model>(
      *CudaExecutor::Create({.device = context.get().device,
                             .suppressed_ids = {},
                             .longest_wait = std::chrono::milliseconds(10)}));
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode})
    EXPECT_TRUE(model->AddPlan(tiny.MakePlan(method)).ok());
  MemoryWeights source(tiny.data);
  EXPECT_TRUE(model->Load(source).ok());
  return model;
}

absl::StatusOr<int64_t> Step(const Model& model, SessionState& session,
                             std::span<const int64_t> tokens) {
  int64_t token = -1;
  const Call call = {
      .tokens = tokens, .start = session.length(), .emit = true, .sampling = {}, .targets = {}};
  const PlanMethod method = tokens.size() == 1 ? PlanMethod::kDecode : PlanMethod::kPrefill;
  const absl::Status status = model.Run(method, session, call, {.token = &token});
  if (!status.ok()) return status;
  return token;
}

const std::vector<int64_t> kPrompt = {5, 3, 8, 1, 2, 9, 4, 7, 6};

// Whichever launch fails, of a prompt or of a decode step, the next call is as if nothing had been.
TEST(CudaFailureTest, AFailedLaunchLeavesNothingBehind) {
  const TinyModel tiny(Config());
  const auto model = CudaModel(tiny);
  const auto expected_session = *model->NewSession();
  const std::vector<int64_t> first = {*Step(*model, *expected_session, kPrompt)};
  const int64_t second = *Step(*model, *expected_session, first);
  int failures = 0;
  for (int launch = 1; launch < 50; launch += 11) {
    const auto session = *model->NewSession();
    emulation::FailLaunch(launch);
    const absl::StatusOr<int64_t> prompt = Step(*model, *session, kPrompt);
    if (!prompt.ok()) {
      ++failures;
      EXPECT_EQ(prompt.status().code(), absl::StatusCode::kInternal) << prompt.status();
      EXPECT_EQ(*Step(*model, *session, kPrompt), first[0]) << "after launch " << launch;
    }
    const absl::StatusOr<int64_t> decoded = Step(*model, *session, first);
    if (!decoded.ok()) {
      ++failures;
      EXPECT_EQ(*Step(*model, *session, first), second) << "after launch " << launch;
    }
    emulation::FailLaunch(0);
  }
  EXPECT_GE(failures, 4);
}

// The last test: this process has no GPU afterwards. The emulation aborts where a call would wait.
TEST(CudaFailureTest, AGpuThatNeverAnswersIsLostInASentence) {
  const TinyModel tiny(Config());
  auto model = CudaModel(tiny);
  auto session = *model->NewSession();
  ASSERT_TRUE(Step(*model, *session, kPrompt).ok());
  emulation::SetStuck(true);
  const char* const kSentence =
      "the GPU has not answered for 0.01 s, and this process cannot use it any more (start the "
      "program again)";
  const absl::Status status = Step(*model, *session, {{1}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), kSentence);
  EXPECT_TRUE(cuda::GpuIsLost());
  // At once, without another wait; also for other sessions, and when it answers again.
  EXPECT_EQ(model->NewSession().status().message(), kSentence);
  emulation::SetStuck(false);
  EXPECT_EQ(Step(*model, *session, {{1}}).status().message(), kSentence);
  emulation::SetStuck(true);
  session.reset();
  model.reset();
}

}  // namespace
}  // namespace gemma
