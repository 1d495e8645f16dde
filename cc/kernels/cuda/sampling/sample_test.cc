#include "cc/kernels/cuda/sampling/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/kernels/cuda/testing/device_array.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

#ifdef GEMMA_CUDA_EMULATION
constexpr int64_t kVocab = 3001;
constexpr int kDraws = 1;
constexpr uint64_t kTieDraws = 2;
#else
constexpr int64_t kVocab = 262144;
constexpr int kDraws = 5;
constexpr uint64_t kTieDraws = 12;
#endif

class SampleTest : public testing::Test {
 protected:
  void SetUp() override { context_ = std::make_unique<TestContext>(); }

  int64_t OnDevice(const std::vector<float>& logits, const SamplingParams& s, uint64_t position = 0,
                   const std::vector<int32_t>& suppressed = {}) {
    DeviceArray<float> device_logits(logits);
    const DeviceArray<int32_t> ids(suppressed);
    const DeviceArray<SampleRequest> request(std::vector<SampleRequest>{{s, position}});
    DeviceArray<int64_t> token(1);
    RequireOk(RunSample(device_logits.get(), static_cast<int64_t>(logits.size()),
                        {ids.get(), static_cast<int32_t>(suppressed.size())}, request.get(),
                        token.get(), context_->get()));
    return token.Read()[0];
  }

  void Check(const std::vector<float>& logits, const SamplingParams& s, uint64_t position = 0) {
    const int64_t expected =
        reference::Compute(Sample{logits.data(), static_cast<int64_t>(logits.size()), s, position});
    EXPECT_EQ(OnDevice(logits, s, position), expected)
        << absl::StrCat("temperature ", s.temperature, " top_k ", s.top_k, " top_p ", s.top_p,
                        " min_p ", s.min_p, " position ", position);
  }

  // Equal logits, zeros of both signs and a NaN among random ones.
  std::vector<float> Logits(std::mt19937& random) const {
    std::vector<float> logits = RandomFloats(kVocab, 4, random);
    for (size_t i = 100; i < 400; i += 3) logits[i] = logits[50];
    logits[7] = std::numeric_limits<float>::quiet_NaN();
    logits[8] = -0.0f;
    logits[9] = 0.0f;
    logits[11] = -std::numeric_limits<float>::infinity();
    return logits;
  }

  std::unique_ptr<TestContext> context_;  // not before a test runs: it needs the GPU
};

TEST_F(SampleTest, LargestLogit) {
  std::mt19937 random(1);
  std::vector<float> logits = Logits(random);
  Check(logits, {});
  logits[2000] = logits[1000] = 50;  // the lower id of equals
  EXPECT_EQ(OnDevice(logits, {}), 1000);
  logits[2500] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(OnDevice(logits, {.temperature = 1}), 2500);
}

TEST_F(SampleTest, EveryFilterDrawsAsTheReference) {
  std::mt19937 random(2);
  const std::vector<float> logits = Logits(random);
  const SamplingParams kCases[] = {
      {.temperature = 1},
      {.temperature = 0.3f},
      {.temperature = 1, .top_k = 1},
      {.temperature = 1, .top_k = 64},
      {.temperature = 2, .top_k = 2990},
      {.temperature = 1, .top_k = kVocab + 5},
      {.temperature = 1, .top_p = 0.95f},
      {.temperature = 1, .top_p = 0},
      {.temperature = 1, .min_p = 0.05f},
      {.temperature = 1, .min_p = 1},
      {.temperature = 1, .top_k = 64, .top_p = 0.95f},
      {.temperature = 1.5f, .top_k = 200, .top_p = 0.7f, .min_p = 0.01f},
  };
  int draws = 0;
  for (SamplingParams s : kCases) {
    for (int draw = 0; draw < kDraws; ++draw, ++draws) {
      s.seed = static_cast<uint64_t>(draws) * 7919;
      Check(logits, s, static_cast<uint64_t>(draw));
    }
  }
  std::printf("%d draws, all equal to the reference\n", draws);
}

// A top_k that ends within equal logits keeps the lower ids.
TEST_F(SampleTest, TiesAtTheThreshold) {
  std::vector<float> logits(kVocab, -5.0f);
  for (size_t i = 10; i < 20; ++i) logits[i] = 1;
  for (uint64_t position = 0; position < kTieDraws; ++position) {
    const int64_t id = OnDevice(logits, {.temperature = 1, .top_k = 3}, position);
    EXPECT_GE(id, 10);
    EXPECT_LT(id, 13);
    Check(logits, {.temperature = 1, .top_k = 3}, position);
  }
}

// As if the model had thought them impossible, also by argmax and in the count of top_k.
TEST_F(SampleTest, SuppressedIdsAreNeverDrawn) {
  std::mt19937 random(3);
  const std::vector<float> logits = Logits(random);
  std::vector<float> masked = logits;
  std::vector<int32_t> suppressed;
  for (int i = 0; i < 5; ++i) {
    const auto largest = std::max_element(masked.begin() + 8, masked.end());
    suppressed.push_back(static_cast<int32_t>(largest - masked.begin()));
    *largest = std::numeric_limits<float>::lowest();
  }
  const auto vocab = static_cast<int64_t>(masked.size());
  for (const SamplingParams& s :
       {SamplingParams{}, SamplingParams{.temperature = 1, .top_k = 3},
        SamplingParams{.temperature = 2, .top_p = 0.5f}, SamplingParams{.temperature = 1e6f}}) {
    EXPECT_EQ(OnDevice(logits, s, 4, suppressed),
              reference::Compute(Sample{masked.data(), vocab, s, 4}))
        << "temperature " << s.temperature << ", top_k " << s.top_k;
  }
}

TEST_F(SampleTest, RefusesInASentence) {
  EXPECT_EQ(RunSample(nullptr, 0, {}, nullptr, nullptr, context_->get()).message(),
            "sample: 0 ids (1 to 524288)");
}

TEST(ScoreTest, EqualsTheReference) {
  std::mt19937 random(5);
  TestContext context;
  const int64_t tokens = 3, vocab = 5000, top = 5;
  std::vector<float> logits = RandomFloats(static_cast<size_t>(tokens * vocab), 5, random);
  logits[10] = logits[20] = 40;
  const std::vector<int64_t> targets = {20, -1, 4999};
  const DeviceArray<float> device_logits(logits);
  const DeviceArray<int64_t> device_targets(targets);
  DeviceArray<float> logprobs(3), top_logprobs(15);
  DeviceArray<int64_t> top_ids(15);
  ASSERT_TRUE(RunScore({device_logits.get(), device_targets.get(), 3, 5000, 5, logprobs.get(),
                        top_ids.get(), top_logprobs.get()},
                       context.get())
                  .ok());
  std::vector<float> expected(3), expected_top(15);
  std::vector<int64_t> expected_ids(15);
  reference::Compute(Score{logits.data(), targets.data(), tokens, vocab, top, expected.data(),
                           expected_ids.data(), expected_top.data()});
  const std::vector<float> actual = logprobs.Read();
  EXPECT_NEAR(actual[0], expected[0], 1e-6);
  EXPECT_TRUE(std::isnan(actual[1]));
  EXPECT_NEAR(actual[2], expected[2], 1e-5);
  EXPECT_EQ(top_ids.Read(), expected_ids);
  ExpectClose("top log-probabilities", top_logprobs.Read(), expected_top, 1e-6, 1e-5);
}

}  // namespace
}  // namespace gemma::cuda
