#include "cc/runner/perplexity/measure.h"

#include <gmock/gmock.h>

#include <cmath>
#include <string>

#include "cc/engine/fake_engine.h"
#include "gtest/gtest.h"

namespace gemma::perplexity {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Text kText = {.tokens = {10, 11, 12, 13, 14}, .window = 3, .bos_id = 0};

void Ignore(int64_t, int64_t) {}

TEST(CutWindows, BeginsEachWithBos) {
  EXPECT_THAT(CutWindows(kText),
              ElementsAre(ElementsAre(0, 10, 11), ElementsAre(0, 12, 13), ElementsAre(0, 14)));
  EXPECT_EQ(CountPositions(kText), 5);
}

TEST(CutWindows, WithoutBosAWindowsFirstTokenIsNoPosition) {
  const Text text = {.tokens = {10, 11, 12, 13, 14, 15, 16}, .window = 3, .bos_id = -1};
  EXPECT_THAT(CutWindows(text), ElementsAre(ElementsAre(10, 11, 12), ElementsAre(13, 14, 15)));
  EXPECT_EQ(CountPositions(text), 4);
  EXPECT_EQ(CountPositions({.tokens = {}, .window = 3, .bos_id = 0}), 0);
}

TEST(MeasureText, TakesTheScoresOfAllWindows) {
  FakeEngine engine({});
  const auto session = engine.NewSession({}).value();
  int64_t last = 0;
  const Measurement measurement = MeasureText(*session, kText, [&](int64_t done, int64_t total) {
                                    last = done;
                                    EXPECT_EQ(total, 5);
                                  }).value();
  EXPECT_EQ(last, 5);
  EXPECT_THAT(measurement.surprise, testing::Each(testing::DoubleNear(std::log(2.0), 1e-6)));
  EXPECT_EQ(measurement.surprise.size(), 5u);
}

TEST(Reference, AModelComparedWithItselfIsItself) {
  const std::string path = testing::TempDir() + "/itself";
  // The fake's logits are 10 for the token that it draws, else 0.
  const std::vector<int32_t> drawn = {10, 20, 12, 20, 14};
  FakeEngine first({.tokens = drawn}), second({.tokens = drawn});
  const int64_t vocab = first.limits().vocab_size;
  const auto writing = first.NewSession({}).value();
  const Measurement written = WriteReference(*writing, kText, vocab, 3, path, Ignore).value();
  auto reader = ReferenceReader::Open(path).value();
  EXPECT_EQ(TextOf(reader, vocab, 1000)->tokens, kText.tokens);
  const auto reading = second.NewSession({}).value();
  const Measurement compared = CompareWithReference(*reading, reader, Ignore).value();
  ASSERT_EQ(compared.kl.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(compared.kl[i], 0, 1e-6);
    EXPECT_EQ(compared.same_top[i], 1);
    EXPECT_NEAR(compared.surprise[i], written.surprise[i], 1e-5);
    EXPECT_NEAR(compared.reference_surprise[i], written.surprise[i], 1e-5);
  }
}

TEST(Reference, AnotherModelIsAway) {
  const std::string path = testing::TempDir() + "/another";
  FakeEngine first({.tokens = {10, 11, 12, 13, 14}}), second({.tokens = {10, 11, 12, 13, 15}});
  const int64_t vocab = first.limits().vocab_size;
  const auto writing = first.NewSession({}).value();
  ASSERT_TRUE(WriteReference(*writing, kText, vocab, 1, path, Ignore).ok());
  auto reader = ReferenceReader::Open(path).value();
  const auto reading = second.NewSession({}).value();
  const Measurement compared = CompareWithReference(*reading, reader, Ignore).value();
  EXPECT_THAT(compared.same_top, ElementsAre(1, 1, 1, 1, 0));
  EXPECT_GT(compared.kl[4], 5);
}

TEST(TextOf, RefusesAnotherVocabularyAndAShortContext) {
  const std::string path = testing::TempDir() + "/refused";
  FakeEngine engine({});
  const int64_t vocab = engine.limits().vocab_size;
  const auto session = engine.NewSession({}).value();
  ASSERT_TRUE(WriteReference(*session, kText, vocab, 1, path, Ignore).ok());
  const auto reader = ReferenceReader::Open(path).value();
  EXPECT_THAT(TextOf(reader, vocab + 1, 1000).status().message(), HasSubstr("of one tokenizer"));
  EXPECT_THAT(TextOf(reader, vocab, 2).status().message(),
              HasSubstr("windows of 3 tokens, but the context of this artifact ends at 2"));
}

}  // namespace
}  // namespace gemma::perplexity
