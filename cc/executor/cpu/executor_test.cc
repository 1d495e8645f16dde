// The CPU executor against the reference executor,
// on small random models whose sizes lie next to every border.
#include "cc/executor/cpu/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "cc/executor/model.h"
#include "cc/executor/testing/drawn_logits.h"
#include "cc/executor/testing/reference_executor.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"

namespace gemma {
namespace {

constexpr double kTolerance = 2e-3;  // of a log-probability; measured: 2e-5

struct Scores {
  std::vector<float> logprobs;
  std::vector<int64_t> top_ids;
  std::vector<float> top_logprobs;
};

std::unique_ptr<Model> MakeModel(const TinyModel& tiny, std::unique_ptr<Executor> executor) {
  auto model = std::make_unique<Model>(std::move(executor));
  for (const PlanMethod method : {PlanMethod::kPrefill, PlanMethod::kDecode, PlanMethod::kScore}) {
    EXPECT_TRUE(model->AddPlan(tiny.MakePlan(method)).ok());
  }
  MemoryWeights source(tiny.data);
  EXPECT_TRUE(model->Load(source).ok());
  return model;
}

std::unique_ptr<Model> CpuModel(const TinyModel& tiny, int threads = 2,
                                const cpu::Kernels* kernels = nullptr) {
  return MakeModel(tiny, *CpuExecutor::Create({.threads = threads, .kernels = kernels}));
}

std::unique_ptr<Model> ReferenceModel(const TinyModel& tiny) {
  return MakeModel(tiny, std::make_unique<ReferenceExecutor>());
}

std::vector<int64_t> RandomTokens(int64_t count, int64_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int64_t> tokens(count);
  for (int64_t& token : tokens) token = random() % vocab;
  return tokens;
}

void ScoreChunk(const Model& model, SessionState& session, std::span<const int64_t> tokens,
                int64_t start, int64_t count, Scores& scores) {
  std::vector<int64_t> targets(count, -1);
  for (int64_t i = 0; i < count; ++i) {
    if (start + i + 1 < static_cast<int64_t>(tokens.size())) targets[i] = tokens[start + i + 1];
  }
  const Call call = {
      .tokens = tokens.subspan(start, count), .start = start, .sampling = {}, .targets = targets};
  const CallResults results = {
      .logprobs = std::span(scores.logprobs).subspan(start, count),
      .top_ids = std::span(scores.top_ids).subspan(start * 5, count * 5),
      .top_logprobs = std::span(scores.top_logprobs).subspan(start * 5, count * 5)};
  const absl::Status status = model.Run(PlanMethod::kScore, session, call, results);
  ASSERT_TRUE(status.ok()) << status;
}

Scores ScoreAll(const Model& model, std::span<const int64_t> tokens, int64_t chunk) {
  const auto session = *model.NewSession();
  const auto size = static_cast<int64_t>(tokens.size());
  Scores scores = {std::vector<float>(size), std::vector<int64_t>(size * 5),
                   std::vector<float>(size * 5)};
  for (int64_t start = 0; start < size; start += chunk) {
    ScoreChunk(model, *session, tokens, start, std::min(chunk, size - start), scores);
  }
  return scores;
}

double Difference(const Scores& a, const Scores& b) {
  EXPECT_TRUE(std::isnan(a.logprobs.back()));
  double largest = 0;
  for (size_t i = 0; i + 1 < a.logprobs.size(); ++i) {
    largest = std::max<double>(largest, std::abs(a.logprobs[i] - b.logprobs[i]));
    EXPECT_FALSE(std::isnan(a.logprobs[i]));
  }
  for (size_t i = 0; i < a.top_logprobs.size(); ++i) {
    largest = std::max<double>(largest, std::abs(a.top_logprobs[i] - b.top_logprobs[i]));
    EXPECT_FALSE(std::isnan(a.top_logprobs[i]));
  }
  return largest;
}

void ExpectClose(const Scores& scores, const Scores& expected, const std::string& what) {
  const double difference = Difference(scores, expected);
  EXPECT_LT(difference, kTolerance) << what;
  std::printf("%-40s error %.2e, %5.2f %% of the tolerance\n", what.c_str(), difference,
              100 * difference / kTolerance);
}

// Greedy text: a prefill in chunks, then decode.
std::vector<int64_t> Generate(const Model& model, std::span<const int64_t> prompt, int64_t chunk,
                              int64_t count, SamplingParams sampling = {}) {
  const auto session = *model.NewSession();
  int64_t token = -1;
  const auto size = static_cast<int64_t>(prompt.size());
  for (int64_t start = 0; start < size; start += chunk) {
    const int64_t tokens = std::min(chunk, size - start);
    const bool emit = start + tokens == size;
    const Call call = {.tokens = prompt.subspan(start, tokens),
                       .start = start,
                       .emit = emit,
                       .sampling = sampling,
                       .targets = {}};
    EXPECT_TRUE(model.Run(PlanMethod::kPrefill, *session, call, {.token = &token}).ok());
    EXPECT_EQ(token >= 0, emit);
  }
  std::vector<int64_t> text = {token};
  while (static_cast<int64_t>(text.size()) < count) {
    const std::vector<int64_t> last = {token};
    const Call call = {
        .tokens = last, .start = session->length(), .sampling = sampling, .targets = {}};
    EXPECT_TRUE(model.Run(PlanMethod::kDecode, *session, call, {.token = &token}).ok());
    text.push_back(token);
  }
  return text;
}

// Window 8 and chunks of up to 19: chunks at, before and after one and two windows, rings that
// wrap, tails of 1.
constexpr int64_t kChunks[] = {1, 2, 7, 8, 9, 15, 16, 17, 19};

class CpuExecutorTest : public ::testing::TestWithParam<int> {};

TEST_P(CpuExecutorTest, ScoresLikeTheReferenceForEveryChunk) {
  const TinyModel tiny({.max_tokens = 19, .seed = static_cast<uint32_t>(GetParam())});
  const std::vector<int64_t> tokens = RandomTokens(58, tiny.config.vocab, GetParam());
  // The reference holds everything and takes one token at a time.
  const TinyModel flat(
      {.max_tokens = 19, .flat_caches = true, .seed = static_cast<uint32_t>(GetParam())});
  const Scores expected = ScoreAll(*ReferenceModel(flat), tokens, 1);
  const auto model = CpuModel(tiny);
  for (const int64_t chunk : kChunks) {
    ExpectClose(ScoreAll(*model, tokens, chunk), expected, "chunks of " + std::to_string(chunk));
  }
}

TEST_P(CpuExecutorTest, GeneratesLikeTheReferenceForEveryChunk) {
  const TinyModel tiny({.max_tokens = 19, .seed = static_cast<uint32_t>(GetParam())});
  const std::vector<int64_t> prompt = RandomTokens(38, tiny.config.vocab, GetParam());
  const TinyModel flat(
      {.max_tokens = 19, .flat_caches = true, .seed = static_cast<uint32_t>(GetParam())});
  const std::vector<int64_t> expected = Generate(*ReferenceModel(flat), prompt, 1, 20);
  const auto model = CpuModel(tiny);
  for (const int64_t chunk : kChunks)
    EXPECT_EQ(Generate(*model, prompt, chunk, 20), expected) << chunk;
}

INSTANTIATE_TEST_SUITE_P(Seeds, CpuExecutorTest, ::testing::Values(1, 2, 3));

TEST(CpuExecutorTest, EveryLayoutAndInstructionSet) {
  for (int layout = 0; layout < kWeightLayouts; ++layout) {
    const TinyModel tiny({.hidden = 256,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 64,
                          .mlp = 512,
                          .layout = static_cast<WeightLayout>(layout)});
    const std::vector<int64_t> tokens = RandomTokens(30, tiny.config.vocab, layout);
    const Scores expected = ScoreAll(*ReferenceModel(tiny), tokens, 16);
    for (const cpu::Kernels* kernels : cpu::AvailableKernels()) {
      const auto model = CpuModel(tiny, 2, kernels);
      const std::string what(WeightLayoutName(static_cast<WeightLayout>(layout)));
      ExpectClose(ScoreAll(*model, tokens, 16), expected,
                  what + ", " + std::string(cpu::IsaName(kernels->isa)));
    }
  }
}

TEST(CpuExecutorTest, EveryCacheType) {
  for (const CacheType type : kCacheTypes) {
    const TinyModel tiny({.cache = type});
    const std::vector<int64_t> tokens = RandomTokens(50, tiny.config.vocab, 1);
    ExpectClose(ScoreAll(*CpuModel(tiny), tokens, 16), ScoreAll(*ReferenceModel(tiny), tokens, 16),
                std::string("caches in ") + CacheTypeName(type));
  }
}

// Norms of keys that take them beyond float16's range: an error that names the cache, and no token.
TEST(CpuExecutorTest, WhatDoesNotFitACacheIsAnError) {
  for (const CacheType type : kCacheTypes) {
    TinyModel tiny({.cache = type});
    std::vector<std::byte>& k_norm = tiny.data.at("layers.1.k_norm");
    const float large = 1e5;
    std::memcpy(k_norm.data() + sizeof(float), &large, sizeof(large));
    const auto model = CpuModel(tiny);
    const auto session = *model->NewSession();
    const std::vector<int64_t> tokens = RandomTokens(8, tiny.config.vocab, 1);
    int64_t token = 0;
    const Call call = {.tokens = tokens, .sampling = {}, .targets = {}};
    const absl::Status status = model->Run(PlanMethod::kPrefill, *session, call, {.token = &token});
    EXPECT_EQ(status.ok(), type != CacheType::kF16) << status;
    if (status.ok()) continue;
    EXPECT_EQ(token, -1);
    EXPECT_THAT(std::string(status.message()),
                ::testing::MatchesRegex("layers.1.kv_cache: a key or value of magnitude [0-9]+ is "
                                        "beyond the 65504 of F16 \\(export the model with "
                                        "--kv_cache_dtype float32\\)"));
  }
}

TEST(CpuExecutorTest, ThreadsDoNotChangeResults) {
  const TinyModel tiny({});
  const std::vector<int64_t> tokens = RandomTokens(50, tiny.config.vocab, 1);
  const Scores one = ScoreAll(*CpuModel(tiny, 1), tokens, 16);
  for (const int threads : {2, 3, 5}) {
    const Scores several = ScoreAll(*CpuModel(tiny, threads), tokens, 16);
    EXPECT_EQ(Difference(several, one), 0) << threads;
    EXPECT_EQ(several.top_ids, one.top_ids);
  }
}

// Score takes its rows 32 at a time.
TEST(CpuExecutorTest, ScoresMoreRowsThanItHoldsLogitsFor) {
  const TinyModel tiny({.max_tokens = 100, .max_context = 128});
  const std::vector<int64_t> tokens = RandomTokens(100, tiny.config.vocab, 4);
  const auto model = CpuModel(tiny);
  const Scores expected = ScoreAll(*ReferenceModel(tiny), tokens, 100);
  for (const int64_t chunk : {31, 32, 33, 64, 65, 100})
    ExpectClose(ScoreAll(*model, tokens, chunk), expected, "rows " + std::to_string(chunk));
}

TEST(CpuExecutorTest, SamplesLikeTheReference) {
  const TinyModel tiny({});
  const std::vector<int64_t> prompt = RandomTokens(10, tiny.config.vocab, 1);
  const auto model = CpuModel(tiny);
  const auto reference = ReferenceModel(tiny);
  for (const uint64_t seed : {0ull, 1ull, ~0ull}) {
    const SamplingParams sampling = {
        .temperature = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.01f, .seed = seed};
    const std::vector<int64_t> text = Generate(*model, prompt, 16, 40, sampling);
    EXPECT_EQ(text, Generate(*reference, prompt, 16, 40, sampling));
    EXPECT_EQ(text, Generate(*model, prompt, 3, 40, sampling)) << "same seed, same text";
  }
}

TEST(CpuExecutorTest, GivesTheLogitsThatItDrewFrom) {
  const TinyModel tiny({});
  const std::vector<int64_t> prompt = RandomTokens(10, tiny.config.vocab, 1);
  const auto model = MakeModel(tiny, *CpuExecutor::Create({.threads = 2, .suppressed_ids = {5}}));
  ExpectDrawsFromItsLogits(*model, *ReferenceModel(tiny), prompt, /*suppressed=*/5, 2e-3f);
}

// Each suppression takes the greedy text's first token away, so the text changes every time.
TEST(CpuExecutorTest, SuppressedIdsAreNeverDrawn) {
  const TinyModel tiny({});
  const std::vector<int64_t> prompt = RandomTokens(10, tiny.config.vocab, 1);
  std::vector<int32_t> suppressed;
  for (int i = 0; i < 4; ++i) {
    const auto model =
        MakeModel(tiny, *CpuExecutor::Create({.threads = 2, .suppressed_ids = suppressed}));
    for (const SamplingParams& sampling :
         {SamplingParams{}, SamplingParams{.temperature = 5, .top_k = 3}}) {
      for (const int64_t token : Generate(*model, prompt, 16, 10, sampling))
        EXPECT_EQ(std::count(suppressed.begin(), suppressed.end(), token), 0) << token;
    }
    suppressed.push_back(static_cast<int32_t>(Generate(*model, prompt, 16, 1)[0]));
  }
}

TEST(CpuExecutorTest, SuppressedIdsMustBeOfTheVocabulary) {
  const TinyModel tiny({});
  const Plan plan = tiny.MakePlan(PlanMethod::kDecode);
  EXPECT_EQ(CheckSuppressedIds(plan, std::vector<int32_t>{5, 128}).message(),
            "suppressed id 128 is not among the model's 128 tokens");
  std::vector<int32_t> all(128);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(CheckSuppressedIds(plan, all).message(),
            "128 ids are suppressed, but the model has 128 tokens, so none would be left to draw");
  all.pop_back();
  EXPECT_TRUE(CheckSuppressedIds(plan, all).ok());
}

TEST(CpuExecutorTest, InterleavedSessionsEqualEachAlone) {
  const TinyModel tiny({});
  const auto model = CpuModel(tiny);
  const std::vector<int64_t> first = RandomTokens(40, tiny.config.vocab, 1);
  const std::vector<int64_t> second = RandomTokens(40, tiny.config.vocab, 2);
  const Scores alone_first = ScoreAll(*model, first, 5);
  const Scores alone_second = ScoreAll(*model, second, 5);
  Scores a = alone_first;
  Scores b = alone_second;
  std::fill(a.logprobs.begin(), a.logprobs.end(), 0.0f);
  std::fill(b.logprobs.begin(), b.logprobs.end(), 0.0f);
  const auto session_a = *model->NewSession();
  const auto session_b = *model->NewSession();
  for (int64_t start = 0; start < 40; start += 5) {
    ScoreChunk(*model, *session_a, first, start, 5, a);
    ScoreChunk(*model, *session_b, second, start, 5, b);
  }
  EXPECT_EQ(Difference(a, alone_first), 0);
  EXPECT_EQ(Difference(b, alone_second), 0);
}

TEST(CpuExecutorTest, CallsFromSeveralThreadsTakeTurns) {
  const TinyModel tiny({});
  const auto model = CpuModel(tiny);
  const std::vector<int64_t> tokens = RandomTokens(40, tiny.config.vocab, 1);
  const Scores expected = ScoreAll(*model, tokens, 8);
  std::vector<Scores> results(3);
  std::vector<std::thread> threads;
  for (Scores& result : results)
    threads.emplace_back([&] { result = ScoreAll(*model, tokens, 8); });
  for (std::thread& thread : threads) thread.join();
  for (const Scores& result : results) EXPECT_EQ(Difference(result, expected), 0);
}

TEST(CpuExecutorTest, RewoundSessionsContinueAsIfNothingHadHappened) {
  const TinyModel tiny({});
  const auto model = CpuModel(tiny);
  const std::vector<int64_t> tokens = RandomTokens(40, tiny.config.vocab, 1);
  const Scores expected = ScoreAll(*model, tokens, 16);
  const auto session = *model->NewSession();
  Scores scores = expected;
  std::fill(scores.logprobs.begin(), scores.logprobs.end(), 0.0f);
  ScoreChunk(*model, *session, tokens, 0, 16, scores);
  ScoreChunk(*model, *session, RandomTokens(40, tiny.config.vocab, 9), 16, 12,
             scores);  // to be forgotten
  for (int64_t start = 16; start < 40; start += 8)
    ScoreChunk(*model, *session, tokens, start, 8, scores);
  EXPECT_LT(Difference(scores, expected), 1e-5);
}

TEST(CpuExecutorTest, CancelledCallsStopAndLeaveTheSessionUsable) {
  const TinyModel tiny({});
  const auto model = CpuModel(tiny);
  const auto session = *model->NewSession();
  const std::vector<int64_t> tokens = RandomTokens(8, tiny.config.vocab, 1);
  std::atomic<bool> cancelled = true;
  int64_t token = 0;
  Call call = {.tokens = tokens, .sampling = {}, .targets = {}, .cancelled = &cancelled};
  EXPECT_EQ(model->Run(PlanMethod::kPrefill, *session, call, {.token = &token}).code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(session->length(), 0);
  cancelled = false;
  EXPECT_TRUE(model->Run(PlanMethod::kPrefill, *session, call, {.token = &token}).ok());
  EXPECT_EQ(token, Generate(*model, tokens, 16, 1)[0]);
}

// Cancelled at a random moment, many times: no thread may be left waiting at a barrier.
TEST(CpuExecutorTest, CancellationNeverHangs) {
  const TinyModel tiny({});
  const auto model = CpuModel(tiny, 3);
  const auto session = *model->NewSession();
  const std::vector<int64_t> tokens = RandomTokens(16, tiny.config.vocab, 1);
  std::mt19937 random(1);
  int cancelled_calls = 0;
  for (int i = 0; i < 200; ++i) {
    std::atomic<bool> cancelled = false;
    std::thread canceller([&, spins = random() % 3000] {
      for (unsigned spin = 0; spin < spins; ++spin)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      cancelled = true;
    });
    int64_t token = 0;
    const Call call = {.tokens = tokens, .sampling = {}, .targets = {}, .cancelled = &cancelled};
    cancelled_calls +=
        model->Run(PlanMethod::kPrefill, *session, call, {.token = &token}).ok() ? 0 : 1;
    canceller.join();
    ASSERT_TRUE(session->Rewind(0).ok());
  }
  std::printf("%d of 200 calls were cancelled\n", cancelled_calls);
}

TEST(CpuExecutorTest, DescribesItself) {
  EXPECT_THAT((*CpuExecutor::Create({.threads = 2}))->Description(),
              ::testing::MatchesRegex("CPU \\(.*, 2 threads\\)"));
  EXPECT_FALSE(CpuExecutor::Create({.threads = 100000}).ok());
}

}  // namespace
}  // namespace gemma
