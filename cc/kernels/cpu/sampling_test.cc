#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cc/kernels/cpu/testing/kernel_test.h"
#include "cc/kernels/reference.h"
#include "cc/kernels/testing/error_report.h"
#include "cc/kernels/testing/random_weight.h"

namespace gemma::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class SampleTest : public KernelTest {
 protected:
  int64_t Draw(const std::vector<float>& logits, const SamplingParams& sampling,
               uint64_t position = 0) {
    const Workspace workspace = TestWorkspace({.max_vocab = std::ssize(logits)});
    return kernels().sample({logits.data(), std::ssize(logits), sampling, position}, workspace);
  }

  void ExpectLikeReference(const std::vector<float>& logits, const SamplingParams& sampling,
                           uint64_t draws) {
    for (uint64_t i = 0; i < draws && !HasFailure(); ++i) {
      EXPECT_EQ(Draw(logits, sampling, i),
                reference::Compute(Sample{logits.data(), std::ssize(logits), sampling, i}))
          << logits.size() << " logits, position " << i << ", top_k " << sampling.top_k
          << ", top_p " << sampling.top_p << ", min_p " << sampling.min_p << ", temperature "
          << sampling.temperature;
    }
  }
};

TEST_P(SampleTest, TemperatureZeroIsTheLowestOfTheLargest) {
  std::vector<float> logits = RandomFloats(5000, 1);
  logits[4321] = logits[1234] = logits[1235] = 9;
  EXPECT_EQ(Draw(logits, {}), 1234);
  logits[4999] = 10;
  EXPECT_EQ(Draw(logits, {}), 4999);
  logits[0] = std::nanf("");
  logits[1] = kInfinity;
  EXPECT_EQ(Draw(logits, {}), 1);
  EXPECT_EQ(Draw(logits, {.temperature = 1}), 1);
  EXPECT_EQ(Draw({3}, {}), 0);
  EXPECT_EQ(Draw(std::vector<float>(40, -kInfinity), {.temperature = 1}), 0);
  EXPECT_EQ(Draw(std::vector<float>(40, std::nanf("")), {.temperature = 1}), 0);
}

TEST_P(SampleTest, MatchesReferenceUnderEveryFilter) {
  const std::vector<SamplingParams> samplings = {
      {.temperature = 1},
      {.temperature = 0.7f, .top_k = 64, .top_p = 0.95f},
      {.temperature = 1.3f, .top_k = 1},
      {.temperature = 1, .top_k = 3000},
      {.temperature = 1, .top_k = 40, .top_p = 0.5f, .min_p = 0.2f},
      {.temperature = 1, .top_p = 0.9f},
      {.temperature = 2, .top_p = 0.999f, .min_p = 0.01f},
      {.temperature = 0.5f, .min_p = 0.1f},
      {.temperature = 1, .top_p = 1e-6f},
      {.temperature = 1, .top_p = 0},
      {.temperature = 1e-4f},
      {.temperature = 100},
  };
  for (int64_t vocab : {1, 7, 1000, 1025, 20011}) {
    std::vector<float> logits = RandomFloats(vocab, static_cast<uint32_t>(vocab));
    for (float& logit : logits) logit *= 3;
    for (SamplingParams sampling : samplings) {
      sampling.seed = 0x123456789abcdef0;
      ExpectLikeReference(logits, sampling, vocab > 10000 ? 10 : 60);
    }
  }
}

// Equal logits: the lower ids count as the larger.
TEST_P(SampleTest, TiesAtTheEdgeOfAFilterKeepTheLowerIds) {
  const std::vector<float> logits(3000, 1.5f);
  for (int i = 0; i < 200; ++i) {
    const auto position = static_cast<uint64_t>(i);
    EXPECT_LT(Draw(logits, {.temperature = 1, .top_k = 5}, position), 5);
    EXPECT_LT(Draw(logits, {.temperature = 1, .top_p = 0.0999f}, position), 300);
  }
}

TEST_P(SampleTest, NanIsNeverDrawn) {
  std::vector<float> logits(64, 0);
  for (size_t i = 0; i < logits.size(); i += 2) logits[i] = std::nanf("");
  for (int i = 0; i < 200; ++i) {
    const auto position = static_cast<uint64_t>(i);
    EXPECT_EQ(Draw(logits, {.temperature = 1}, position) % 2, 1);
    EXPECT_EQ(Draw(logits, {.temperature = 1, .top_p = 0.9f}, position) % 2, 1);
    EXPECT_EQ(Draw(logits, {.temperature = 1, .top_k = 40}, position) % 2, 1);
  }
}

// Frequencies of 20,000 draws agree with the probabilities.
TEST_P(SampleTest, DrawsWithTheRightProbabilities) {
  const std::vector<float> logits = {0, 1, 2, -1, 0.5f};
  constexpr int kDraws = 20000;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    ++counts[Draw(logits, {.temperature = 2, .seed = 5}, static_cast<uint64_t>(i))];
  }
  double total = 0;
  for (float logit : logits) total += std::exp(logit / 2);
  for (size_t id = 0; id < logits.size(); ++id) {
    EXPECT_NEAR(counts[id] / static_cast<double>(kDraws), std::exp(logits[id] / 2) / total, 0.015)
        << id;
  }
}

GEMMA_TEST_ALL_ISAS(SampleTest);

class ScoreTest : public KernelTest {};

TEST_P(ScoreTest, MatchesReference) {
  ErrorReport report(Named("score"));
  for (int64_t vocab : {5, 33, 1000, 4099}) {
    const int64_t tokens = 3;
    std::vector<float> logits = RandomFloats(tokens * vocab, static_cast<uint32_t>(vocab));
    for (float& logit : logits) logit = std::round(logit * 8) * 2;  // many ties
    const std::vector<int64_t> targets = {-1, vocab - 1, 0};
    std::vector<float> logprobs(tokens), expected_logprobs(tokens), top_logprobs(tokens * 5),
        expected_top(tokens * 5);
    std::vector<int64_t> ids(tokens * 5), expected_ids(tokens * 5);
    const Score op{logits.data(), targets.data(),     tokens, vocab, 5, logprobs.data(),
                   ids.data(),    top_logprobs.data()};
    ForSlices(2, [&](Slice slice) { kernels().score(op, slice); });
    reference::Compute(Score{logits.data(), targets.data(), tokens, vocab, 5,
                             expected_logprobs.data(), expected_ids.data(), expected_top.data()});
    EXPECT_EQ(ids, expected_ids);
    EXPECT_TRUE(std::isnan(logprobs[0]));
    for (int64_t t = 1; t < tokens; ++t)
      report.Add(logprobs[t], expected_logprobs[t], 1e-5, std::to_string(vocab));
    report.AddAll(top_logprobs, expected_top, 1e-6, std::to_string(vocab));
  }
}

GEMMA_TEST_ALL_ISAS(ScoreTest);

}  // namespace
}  // namespace gemma::cpu
