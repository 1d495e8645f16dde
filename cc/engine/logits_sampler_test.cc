#include "cc/engine/logits_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cc/kernels/reference.h"
#include "cc/text/fake_token_constraint.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;

std::vector<float> RandomLogits(size_t vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

std::unique_ptr<LogitsSampler> Sampler(const SamplingParams& sampling, const LogitsChanges& changes,
                                       size_t vocab, std::vector<int32_t> prompt = {}) {
  return *LogitsSampler::Create(sampling, changes, static_cast<int64_t>(vocab), prompt);
}

int32_t DrawOne(LogitsSampler& sampler, std::vector<float> logits) {
  return sampler.Draw(logits, 7, nullptr)->id;
}

TEST(LogitsSampler, WithoutChangesItDrawsAsTheDevicesDo) {
  const SamplingParams sampling = {
      .temperature = 0.8f, .top_k = 50, .top_p = 0.9f, .min_p = 0.01f, .seed = 5};
  for (const size_t vocab : {1u, 31u, 32u, 33u, 1000u}) {
    const auto sampler = Sampler(sampling, {}, vocab);
    for (int64_t position = 0; position < 50; ++position) {
      std::vector<float> logits = RandomLogits(vocab, static_cast<uint32_t>(position));
      const int64_t expected = reference::Compute(Sample{
          logits.data(), static_cast<int64_t>(vocab), sampling, static_cast<uint64_t>(position)});
      EXPECT_EQ(sampler->Draw(logits, position, nullptr)->id, expected);
    }
  }
}

TEST(LogitsSampler, RepetitionCountsPromptAndAnswer) {
  const auto sampler = Sampler({}, {.repetition_penalty = 2}, 4, {0});
  const std::vector<float> logits = {5, 4, 3, -1};
  EXPECT_EQ(DrawOne(*sampler, logits), 1);  // 2.5, 4, 3, -1
  EXPECT_EQ(DrawOne(*sampler, logits), 2);  // 2.5, 2, 3, -1
  EXPECT_EQ(DrawOne(*sampler, logits), 0);  // 2.5, 2, 1.5, -1
  EXPECT_EQ(DrawOne(*Sampler({}, {.repetition_penalty = 2}, 2, {0}), {-1, -1.5f}), 1);
}

TEST(LogitsSampler, FrequencyAndPresenceCountTheAnswerAlone) {
  const std::vector<float> logits = {2, 1.2f, 0};
  const auto frequency = Sampler({}, {.frequency_penalty = 0.5f}, 3, {0, 0, 0, 0});
  EXPECT_EQ(DrawOne(*frequency, logits), 0);  // 2
  EXPECT_EQ(DrawOne(*frequency, logits), 0);  // 1.5
  EXPECT_EQ(DrawOne(*frequency, logits), 1);  // 1 against 1.2
  const auto presence = Sampler({}, {.presence_penalty = 0.5f}, 3, {0});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(DrawOne(*presence, logits), 0);  // 1.5, once and for all
}

TEST(LogitsSampler, BiasesAreAdded) {
  const std::vector<float> logits = {2, 1, 0};
  EXPECT_EQ(DrawOne(*Sampler({}, {.logit_bias = {{2, 100.f}}}, 3), logits), 2);
  EXPECT_EQ(DrawOne(*Sampler({}, {.logit_bias = {{0, -100.f}}}, 3), logits), 1);
}

TEST(LogitsSampler, SuppressedIdsStaySuppressed) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  const LogitsChanges changes = {
      .repetition_penalty = 3, .frequency_penalty = -2, .logit_bias = {{0, 100.f}}};
  EXPECT_EQ(DrawOne(*Sampler({}, changes, 3, {0}), {kLowest, -3, 1}), 2);
}

TEST(LogitsSampler, AConstraintForbidsTokensAndIsToldOfTheDrawn) {
  FakeTokenConstraint constraint({40, 2, 1});
  const auto sampler = Sampler({.temperature = 2, .seed = 3}, {}, 70);
  std::vector<int32_t> drawn;
  for (int i = 0; i < 4; ++i) {
    std::vector<float> logits = RandomLogits(70, static_cast<uint32_t>(i));
    drawn.push_back(sampler->Draw(logits, i, &constraint)->id);
  }
  EXPECT_EQ(drawn, (std::vector<int32_t>{40, 2, 1, 1}));
}

// Allows what its mask says, always.
class SetConstraint final : public TokenConstraint {
 public:
  explicit SetConstraint(std::vector<uint32_t> mask) : mask_(std::move(mask)) {}
  void FillMask(std::span<uint32_t> mask) override { std::ranges::copy(mask_, mask.begin()); }
  absl::Status Accept(int32_t) override { return absl::OkStatus(); }

 private:
  const std::vector<uint32_t> mask_;
};

// A mask whose words are none, all, or each bit with a chance; bits after the vocabulary are set.
std::vector<uint32_t> RandomMask(size_t vocab, std::mt19937& random) {
  std::vector<uint32_t> mask(MaskWords(static_cast<int64_t>(vocab)));
  for (uint32_t& word : mask) {
    const uint32_t kind = random() % 4;
    word = kind == 0 ? 0 : kind == 1 ? ~0u : kind == 2 ? random() : random() & random() & random();
  }
  const size_t kept = random() % vocab;
  mask[kept / 32] |= 1u << (kept % 32);
  if (vocab % 32 != 0) mask.back() |= ~0u << (vocab % 32);
  return mask;
}

TEST(LogitsSampler, WithinAConstraintItDrawsAsIfTheOtherTokensWereImpossible) {
  std::mt19937 random(11);
  const SamplingParams all[] = {{},
                                {.temperature = 1, .top_k = 64, .top_p = 0.95f, .seed = 2},
                                {.temperature = 1.5f, .seed = 3},
                                {.temperature = 0.7f, .min_p = 0.1f, .seed = 4}};
  for (const size_t vocab : {1u, 31u, 33u, 70u, 1000u, 40'000u}) {
    for (int64_t position = 0; position < 40; ++position) {
      const SamplingParams& sampling = all[position % std::ssize(all)];
      std::vector<float> logits = RandomLogits(vocab, random());
      SetConstraint constraint(RandomMask(vocab, random));
      std::vector<uint32_t> mask(MaskWords(static_cast<int64_t>(vocab)));
      constraint.FillMask(mask);
      std::vector<float> masked = logits;
      for (size_t id = 0; id < vocab; ++id) {
        if ((mask[id / 32] >> (id % 32) & 1) == 0) masked[id] = -INFINITY;
      }
      const int64_t expected = reference::Compute(Sample{
          masked.data(), static_cast<int64_t>(vocab), sampling, static_cast<uint64_t>(position)});
      EXPECT_EQ(Sampler(sampling, {}, vocab)->Draw(logits, position, &constraint)->id, expected);
    }
  }
}

TEST(LogitsSampler, AFormThatAllowsNothingIsAnError) {
  SetConstraint constraint({0, ~0u << 8});
  std::vector<float> logits = RandomLogits(40, 1);
  EXPECT_THAT(Sampler({}, {}, 40)->Draw(logits, 0, &constraint).status().message(),
              HasSubstr("allows no token"));
}

TEST(LogitsSampler, LogprobsAreOfTheModelsOwnDistribution) {
  const std::vector<float> original = {std::log(0.5f), std::log(0.125f), std::log(0.25f),
                                       std::log(0.125f)};
  const auto sampler =
      Sampler({}, {.logit_bias = {{1, 100.f}}, .top_logprobs = 3}, original.size());
  std::vector<float> logits = original;
  const DrawnToken drawn = *sampler->Draw(logits, 0, nullptr);
  EXPECT_EQ(drawn.id, 1);
  EXPECT_NEAR(drawn.logprob, std::log(0.125), 1e-6);
  ASSERT_EQ(drawn.top.size(), 3u);
  EXPECT_EQ(drawn.top[0].id, 0);
  EXPECT_EQ(drawn.top[1].id, 2);
  EXPECT_EQ(drawn.top[2].id, 1);  // the lower id of two equals
  EXPECT_NEAR(drawn.top[0].logprob, std::log(0.5), 1e-6);
}

TEST(LogitsSampler, AsksForNoMoreThanThereIs) {
  std::vector<float> logits = {1, 2};
  EXPECT_EQ(Sampler({}, {.top_logprobs = 20}, 2)->Draw(logits, 0, nullptr)->top.size(), 2u);
}

TEST(LogitsSampler, BrokenLogitsAreAnError) {
  std::vector<float> logits = {1, std::nanf("")};
  EXPECT_EQ(Sampler({}, {}, 2)->Draw(logits, 0, nullptr).status().code(),
            absl::StatusCode::kInternal);
}

TEST(LogitsSampler, WrongValuesAreNamed) {
  const std::map<std::string, LogitsChanges> wrong = {
      {"repetition_penalty is 0 (0.01 to 100 are allowed)", {.repetition_penalty = 0}},
      {"frequency_penalty is 2.5 (-2 to 2 are allowed)", {.frequency_penalty = 2.5f}},
      {"presence_penalty is nan", {.presence_penalty = std::nanf("")}},
      {"logit_bias names token 10, but the model has 10", {.logit_bias = {{10, 1.f}}}},
      {"logit_bias of token 9 is 101", {.logit_bias = {{9, 101.f}}}},
      {"top_logprobs is 21 (0 to 20 are allowed)", {.top_logprobs = 21}},
  };
  for (const auto& [sentence, changes] : wrong)
    EXPECT_THAT(std::string(CheckLogitsChanges(changes, 10).message()), HasSubstr(sentence));
  EXPECT_TRUE(CheckLogitsChanges({.top_logprobs = 20}, 10).ok());
}

}  // namespace
}  // namespace gemma
