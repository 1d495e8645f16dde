#include "cc/text/decoder.h"

#include <random>
#include <string>
#include <vector>

#include "cc/text/bpe_tokenizer.h"
#include "cc/text/fake_tokenizer.h"
#include "cc/text/tokenizer_file_builder.h"
#include "cc/text/utf8.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

const std::string kFffd(kReplacementCharacter);

class DecoderTest : public ::testing::Test {
 protected:
  DecoderTest() {
    word_ = builder_.Add(
        "\xE2\x96\x81wor\xE2\x96\x81\xE2\x96\x81"
        "d");
    bos_ = builder_.Add("<bos>", PieceKind::kControl);
    channel_ = builder_.Add("<|channel>", PieceKind::kControl);
    tag_ = builder_.Add("<b>", PieceKind::kUser);
    tokenizer_ = BpeTokenizer::Parse(builder_.Build()).value();
  }

  std::string Whole(const std::vector<int32_t>& ids, const DecodeOptions& options = {}) {
    return Decode(*tokenizer_, ids, options).value();
  }

  // The texts that a stream gives for each id, and at its end.
  std::vector<std::string> Stream(const std::vector<int32_t>& ids,
                                  const DecodeOptions& options = {}) {
    StreamDecoder decoder(*tokenizer_, options);
    std::vector<std::string> texts;
    for (const int32_t id : ids) texts.push_back(decoder.Add(id).value());
    texts.push_back(decoder.Finish());
    return texts;
  }

  TokenizerFileBuilder builder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  int32_t word_, bos_, channel_, tag_;
};

using Texts = std::vector<std::string>;

TEST_F(DecoderTest, PiecesBecomeTextWithSpaces) {
  EXPECT_EQ(Whole({word_, tag_, word_}), " wor  d<b> wor  d");
  EXPECT_EQ(Stream({word_, tag_}), (Texts{" wor  d", "<b>", ""}));
}

TEST_F(DecoderTest, ControlPiecesAreSkippedOrSpelledOut) {
  EXPECT_EQ(Whole({bos_, word_, channel_}), " wor  d");
  EXPECT_EQ(Whole({bos_, word_, channel_}, {.skip_control = false}), "<bos> wor  d<|channel>");
  EXPECT_EQ(Stream({bos_, channel_}, {.skip_control = false}), (Texts{"<bos>", "<|channel>", ""}));
}

TEST_F(DecoderTest, BytesBecomeCharactersWhenTheyAreComplete) {
  EXPECT_EQ(Stream({0xF0, 0x9F, 0x98, 0x80, 0x41}),
            (Texts{"", "", "", "\xF0\x9F\x98\x80", "A", ""}));
  EXPECT_EQ(Stream({0xC3, bos_, 0xA9}),
            (Texts{"", "", "\xC3\xA9", ""}));  // what is skipped is not there
  EXPECT_EQ(Whole({0xC3, bos_, 0xA9}), "\xC3\xA9");
}

TEST_F(DecoderTest, BytesThatAreNoCharacterAreReplacedOneByOne) {
  EXPECT_EQ(Stream({0xE2, 0x96, word_}), (Texts{"", "", kFffd + kFffd + " wor  d", ""}));
  EXPECT_EQ(Stream({0xE2, 0x96}), (Texts{"", "", kFffd + kFffd}));
  EXPECT_EQ(Stream({0xFF, 0x41}), (Texts{kFffd, "A", ""}));
  EXPECT_EQ(Stream({0xE2, 0xC3, 0xA9}), (Texts{"", kFffd, "\xC3\xA9", ""}));
  EXPECT_EQ(Stream({0xC3, 0x41}), (Texts{"", kFffd + "A", ""}));
  EXPECT_EQ(Whole({0xE2, 0x96, word_}), kFffd + kFffd + " wor  d");
}

// As Hugging Face does: one bad byte spoils the run of byte pieces that it is in.
TEST_F(DecoderTest, WholeDecodingReplacesTheWholeRun) {
  EXPECT_EQ(Whole({0xC3, 0xA9, 0xFF}), kFffd + kFffd + kFffd);
  EXPECT_EQ(Whole({0xC3, 0xA9, tag_, 0xFF}), "\xC3\xA9<b>" + kFffd);
}

TEST_F(DecoderTest, IdsOutsideTheVocabularyAreRefused) {
  for (const int32_t id : {-1, 260, 1 << 30}) {
    EXPECT_FALSE(Decode(*tokenizer_, std::vector<int32_t>{id}, {}).ok()) << id;
    EXPECT_FALSE(StreamDecoder(*tokenizer_, {}).Add(id).ok()) << id;
  }
  EXPECT_EQ(Decode(*tokenizer_, std::vector<int32_t>{260}, {}).status().message(),
            "token 260 is not in the vocabulary of 260");
}

// Random ids: every text is whole characters;
// on runs without bad bytes, all together are the whole text.
TEST_F(DecoderTest, StreamsAreWholeCharactersAndAddUp) {
  std::mt19937 random(5);
  const Texts characters = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  for (int round = 0; round < 2000; ++round) {
    const bool valid = round % 2 == 0;
    std::vector<int32_t> ids;
    while (ids.size() < 20) {
      if (random() % 3 == 0) {
        ids.push_back(random() % 2 ? word_ : bos_);
      } else if (valid) {
        for (const char byte : characters[random() % 4]) ids.push_back(static_cast<uint8_t>(byte));
      } else {
        ids.push_back(static_cast<int32_t>(random() % 256));
      }
    }
    std::string together;
    for (const std::string& text : Stream(ids)) {
      ASSERT_EQ(ValidUtf8Prefix(text), text.size());
      together += text;
    }
    if (valid) {
      ASSERT_EQ(together, Whole(ids));
    }
  }
}

TEST(FakeTokenizerTest, IdsCanBeReadOffTheText) {
  const FakeTokenizer tokenizer({"<bos>", "<eos>"});
  const std::vector<int32_t> ids =
      tokenizer.Encode("A\xC3\xA9<eos>", {.parse_special = true}).value();
  EXPECT_EQ(ids, (std::vector<int32_t>{2 + 'A', 2 + 0xC3, 2 + 0xA9, 1}));
  EXPECT_EQ(Decode(tokenizer, ids, {}).value(), "A\xC3\xA9");
  EXPECT_EQ(Decode(tokenizer, ids, {.skip_control = false}).value(), "A\xC3\xA9<eos>");
  EXPECT_EQ(tokenizer.Encode("<eos>", {}).value().size(), 5u);
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.ControlId("<eos>"), 1);
  EXPECT_FALSE(tokenizer.Encode("\xFF", {}).ok());
}

}  // namespace
}  // namespace gemma
