#include "cc/server/scheduler.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "cc/engine/fake_engine.h"
#include "cc/server/api_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gemma::server {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kSpecials = 4;  // of FakeEngineOptions; byte b is token kSpecials + b

std::vector<int32_t> Ids(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(kSpecials + static_cast<uint8_t>(c));
  return ids;
}

JobSpec Spec(const std::string& prompt, int64_t max_new_tokens = 3, const std::string& key = "") {
  JobSpec spec;
  spec.key = key;
  spec.prompt = Ids(prompt);
  spec.options.max_new_tokens = max_new_tokens;
  return spec;
}

// All text of a job, once it has ended.
std::string Text(Job& job) {
  std::string text;
  while (!job.done()) {
    const std::optional<JobEvent> event = job.Next(milliseconds(100));
    if (!event.has_value()) continue;
    for (const AnswerEvent& part : event->step.events) text += part.text;
  }
  return text;
}

bool Eventually(const std::function<bool()>& is_true) {
  for (int i = 0; i < 5000 && !is_true(); ++i) std::this_thread::sleep_for(milliseconds(1));
  return is_true();
}

// A model whose calls wait until the test lets them go.
struct Gate {
  std::atomic<bool> open = true;
  std::atomic<int> calls = 0;
  absl::Status Pass() {
    ++calls;
    while (!open) std::this_thread::sleep_for(milliseconds(1));
    return absl::OkStatus();
  }
};

FakeEngineOptions Gated(Gate& gate) {
  return {.tokens = std::vector<int32_t>(1000, kSpecials + 'a'),
          .before_call = [&gate] { return gate.Pass(); }};
}

TEST(Scheduler, AnswersAJob) {
  FakeEngine engine({.tokens = Ids("abc")});
  const auto scheduler = *Scheduler::Create(engine, {});
  const auto job = *scheduler->Submit(Spec("xy"));
  EXPECT_EQ(Text(*job), "abc");
  EXPECT_TRUE(job->status().ok());
  EXPECT_EQ(job->cached_tokens(), 0);
}

TEST(Scheduler, ASecondTurnIsComputedFromWhereItDiffers) {
  FakeEngine engine({.tokens = Ids("abcdefghi")});
  const auto scheduler = *Scheduler::Create(engine, {});
  Text(**scheduler->Submit(Spec("hello")));
  const auto second = *scheduler->Submit(Spec("helloabcnext"));
  Text(*second);
  EXPECT_EQ(second->cached_tokens(), 7) << "the last drawn token was never given to the model";
  const auto other = *scheduler->Submit(Spec("helloabcnext", 3, "another key"));
  Text(*other);
  EXPECT_EQ(other->cached_tokens(), 0) << "another key learns nothing";
}

TEST(Scheduler, EverySlotKeepsAConversation) {
  FakeEngine engine({.tokens = std::vector<int32_t>(100, kSpecials + 'a')});
  const auto scheduler = *Scheduler::Create(engine, {.slots = 2});
  Text(**scheduler->Submit(Spec("first conversation")));
  Text(**scheduler->Submit(Spec("second conversation")));
  const auto first = *scheduler->Submit(Spec("first conversation"));
  Text(*first);
  EXPECT_EQ(first->cached_tokens(), 17) << "one token is left to compute";
  const auto second = *scheduler->Submit(Spec("second conversation"));
  Text(*second);
  EXPECT_EQ(second->cached_tokens(), 18);
}

TEST(Scheduler, SlotsTakeTurns) {
  FakeEngine engine({.tokens = Ids("abababab"), .max_prefill_chunk = 8});
  Gate gate;
  gate.open = false;
  FakeEngine gated(Gated(gate));
  const auto scheduler = *Scheduler::Create(gated, {.slots = 2});
  const auto first = *scheduler->Submit(Spec("first", 20));
  const auto second = *scheduler->Submit(Spec("second", 20));
  gate.open = true;
  Text(*first);
  Text(*second);
  std::vector<int64_t> starts;
  for (const FakeEngine::RecordedCall& call : gated.calls) starts.push_back(call.start);
  int changes = 0;
  for (size_t i = 2; i < starts.size(); ++i) changes += starts[i] != starts[i - 1] + 1 ? 1 : 0;
  EXPECT_GT(changes, 10) << "the sessions alternate";
}

TEST(Scheduler, ChoicesAreDrawnWithSeedsOfTheirOwn) {
  FakeEngine engine({.tokens = Ids("abc")});
  const auto scheduler = *Scheduler::Create(engine, {});
  JobSpec spec = Spec("xy", 1);
  spec.choices = 3;
  spec.options.sampling.seed = 7;
  EXPECT_EQ(Text(**scheduler->Submit(std::move(spec))), "abc");
  std::vector<uint64_t> seeds;
  for (const FakeEngine::RecordedCall& call : engine.calls) seeds.push_back(call.sampling.seed);
  EXPECT_THAT(seeds, ElementsAre(7, 8, 9));
  EXPECT_EQ(engine.calls[1].start, 1) << "the prompt is not computed again";
}

TEST(Scheduler, AFullQueueSaysWhenToComeAgain) {
  Gate gate;
  gate.open = false;
  FakeEngine engine(Gated(gate));
  const auto scheduler = *Scheduler::Create(engine, {.slots = 1, .queue = 2});
  std::vector<std::shared_ptr<Job>> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(*scheduler->Submit(Spec("a")));
  ASSERT_TRUE(Eventually([&] { return scheduler->state().running == 1; }));
  EXPECT_EQ(scheduler->state().waiting, 2u);
  const absl::Status refused = scheduler->Submit(Spec("a")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GE(ToApiError(refused).retry_after, 1);
  gate.open = true;
  for (const auto& job : jobs) EXPECT_EQ(Text(*job), "aaa");
}

TEST(Scheduler, AClientThatLeavesFreesItsSlotWithinOneStep) {
  Gate gate;
  FakeEngine engine(Gated(gate));
  const auto scheduler = *Scheduler::Create(engine, {.slots = 1, .queue = 2});
  gate.open = false;
  const auto runs = *scheduler->Submit(Spec("a", 500));
  ASSERT_TRUE(Eventually([&] { return gate.calls == 1; }));
  const auto waits = *scheduler->Submit(Spec("b"));
  const auto next = *scheduler->Submit(Spec("c"));
  scheduler->Cancel(*waits);
  EXPECT_TRUE(waits->done()) << "it waited, and is dropped at once";
  scheduler->Cancel(*runs);
  gate.open = true;
  EXPECT_EQ(Text(*next), "aaa");
  EXPECT_TRUE(absl::IsCancelled(runs->status()));
  EXPECT_EQ(gate.calls, 1 + 3) << "the step that ran, and the next job's";
}

TEST(Scheduler, AClientThatDoesNotReadIsCutOff) {
  FakeEngine engine(
      {.tokens = std::vector<int32_t>(30'000, kSpecials + 'a'), .max_seq_len = 40'000});
  const auto scheduler = *Scheduler::Create(engine, {});
  const auto job = *scheduler->Submit(Spec("a", 30'000));
  ASSERT_TRUE(Eventually([&] {
    const SchedulerState state = scheduler->state();
    return state.running + state.waiting == 0;
  }));
  EXPECT_LT(engine.calls.size(), 10'010u);
  Text(*job);
  EXPECT_TRUE(absl::IsCancelled(job->status()));
}

TEST(Scheduler, AnErrorOfTheModelIsTheJobsAlone) {
  std::atomic<int> calls = 0;
  FakeEngine engine({.tokens = Ids("abc"), .before_call = [&] {
                       return ++calls == 1 ? absl::InternalError("broken") : absl::OkStatus();
                     }});
  const auto scheduler = *Scheduler::Create(engine, {});
  const auto broken = *scheduler->Submit(Spec("a"));
  Text(*broken);
  EXPECT_EQ(broken->status().message(), "broken");
  EXPECT_EQ(Text(**scheduler->Submit(Spec("a"))), "abc");
}

TEST(Scheduler, DrainsAndThenRefuses) {
  Gate gate;
  gate.open = false;
  FakeEngine engine(Gated(gate));
  const auto scheduler = *Scheduler::Create(engine, {});
  const auto runs = *scheduler->Submit(Spec("a"));
  const auto waits = *scheduler->Submit(Spec("b"));
  std::thread drain([&] { EXPECT_TRUE(scheduler->Drain(std::chrono::seconds(10))); });
  ASSERT_TRUE(Eventually([&] { return !scheduler->Submit(Spec("c")).ok(); }));
  gate.open = true;
  drain.join();
  EXPECT_EQ(Text(*runs), "aaa");
  EXPECT_EQ(Text(*waits), "aaa");
  EXPECT_THAT(std::string(scheduler->Submit(Spec("d")).status().message()),
              HasSubstr("shutting down"));
}

TEST(Scheduler, WhatDoesNotEndInTimeIsCutAndTold) {
  Gate gate;
  FakeEngine engine({.tokens = std::vector<int32_t>(900, kSpecials + 'a'), .before_call = [&] {
                       std::this_thread::sleep_for(milliseconds(2));
                       return gate.Pass();
                     }});
  const auto scheduler = *Scheduler::Create(engine, {});
  const auto runs = *scheduler->Submit(Spec("a", 900));
  const auto waits = *scheduler->Submit(Spec("b"));
  ASSERT_TRUE(Eventually([&] { return gate.calls > 2; }));
  EXPECT_FALSE(scheduler->Drain(milliseconds(10)));
  for (const auto& job : {runs, waits}) {
    Text(*job);
    EXPECT_EQ(job->status().code(), absl::StatusCode::kUnavailable);
  }
}

}  // namespace
}  // namespace gemma::server
