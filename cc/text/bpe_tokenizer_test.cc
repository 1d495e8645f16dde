#include "cc/text/bpe_tokenizer.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "cc/text/decoder.h"
#include "cc/text/tokenizer_file_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kSpace[] = "\xE2\x96\x81";

// Letters, runs of spaces, a word with a space inside it, an accented letter and some added pieces.
class BpeTokenizerTest : public ::testing::Test {
 protected:
  BpeTokenizerTest() {
    a_ = builder_.Add("a");
    b_ = builder_.Add("b");
    space_ = builder_.Add(kSpace);
    e_acute_ = builder_.Add("\xC3\xA9");
    space_a_ = builder_.Add(std::string(kSpace) + "a");
    ab_ = builder_.Add("ab");
    two_spaces_ = builder_.Add(std::string(kSpace) + kSpace, PieceKind::kUser);
    a_space_ = builder_.Add(std::string("a") + kSpace);
    bos_ = builder_.Add("<bos>", PieceKind::kControl);
    tag_ = builder_.Add("<b>", PieceKind::kUser);
    builder_.Merge(space_, space_, two_spaces_);
    builder_.Merge(a_, b_, ab_);
    builder_.Merge(space_, a_, space_a_);
    builder_.Merge(a_, space_, a_space_);
    builder_.bos = bos_;
    tokenizer_ = BpeTokenizer::Parse(builder_.Build()).value();
  }

  std::vector<int32_t> Encode(std::string_view text, bool parse_special = false) {
    return tokenizer_->Encode(text, {.parse_special = parse_special}).value();
  }

  TokenizerFileBuilder builder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  int32_t a_, b_, space_, e_acute_, space_a_, ab_, two_spaces_, a_space_, bos_, tag_;
};

TEST_F(BpeTokenizerTest, MergesByRank) {
  EXPECT_THAT(Encode(""), IsEmpty());
  EXPECT_THAT(Encode("ab"), ElementsAre(ab_));
  EXPECT_THAT(Encode("aab"), ElementsAre(a_, ab_));
  EXPECT_THAT(Encode(" ab"), ElementsAre(space_, ab_));  // a b ranks before the space and a
  EXPECT_THAT(Encode(" aa"), ElementsAre(space_a_, a_));
}

TEST_F(BpeTokenizerTest, SpacesMayBeJoinedToTheWordBefore) {
  EXPECT_THAT(Encode("b a"), ElementsAre(b_, space_a_));
  EXPECT_THAT(Encode("a b"), ElementsAre(a_space_, b_));
  EXPECT_THAT(Encode("a a"), ElementsAre(a_, space_a_));
  EXPECT_THAT(Encode("b  a"), ElementsAre(b_, two_spaces_, a_));
}

TEST_F(BpeTokenizerTest, RepeatedWordsGiveTheSameIds) {
  EXPECT_THAT(Encode("b ab ab ab b"),
              ElementsAre(b_, space_, ab_, space_, ab_, space_, ab_, space_, b_));
}

TEST_F(BpeTokenizerTest, CharactersWithoutPieceBecomeBytes) {
  EXPECT_THAT(Encode("\xC3\xA9"), ElementsAre(e_acute_));
  EXPECT_THAT(Encode("\xC3\xA8"), ElementsAre(0xC3, 0xA8));
  EXPECT_THAT(Encode("a\xF0\x9F\x98\x80"), ElementsAre(a_, 0xF0, 0x9F, 0x98, 0x80));
  EXPECT_THAT(Encode(std::string_view("\0", 1)), ElementsAre(0));
}

TEST_F(BpeTokenizerTest, UserPiecesAreMatchedAsWritten) {
  EXPECT_THAT(Encode("a<b>b"), ElementsAre(a_, tag_, b_));
  // Written as U+2581 they are matched;
  // written as spaces they are merged, here with another outcome.
  EXPECT_THAT(Encode(std::string("a") + kSpace + kSpace + "a"), ElementsAre(a_, two_spaces_, a_));
  EXPECT_THAT(Encode(std::string("a") + kSpace + kSpace + kSpace),
              ElementsAre(a_, two_spaces_, space_));
}

TEST_F(BpeTokenizerTest, SpecialTokensInTextAreTextUnlessAskedFor) {
  EXPECT_THAT(Encode("<bos>a", /*parse_special=*/true), ElementsAre(bos_, a_));
  EXPECT_THAT(Encode("<bos>a"), ElementsAre('<', b_, 'o', 's', '>', a_));
  EXPECT_THAT(Encode("<b>", /*parse_special=*/true), ElementsAre(tag_));
}

TEST_F(BpeTokenizerTest, BosIsNeverAdded) {
  EXPECT_EQ(tokenizer_->bos_id(), bos_);
  EXPECT_THAT(Encode("a", /*parse_special=*/true), ElementsAre(a_));
}

TEST_F(BpeTokenizerTest, InvalidUtf8IsRefusedInASentence) {
  const absl::Status status = tokenizer_->Encode("ab\xFFzz", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "the text is not valid UTF-8: no character begins with the byte 0xFF at offset 2");
  EXPECT_FALSE(tokenizer_->Encode("\xED\xA0\x80", {}).ok());  // a surrogate
}

TEST_F(BpeTokenizerTest, ControlIdsAreFoundBySpelling) {
  EXPECT_EQ(tokenizer_->ControlId("<bos>"), bos_);
  EXPECT_EQ(tokenizer_->ControlId("<b>"), -1);
  EXPECT_EQ(tokenizer_->ControlId("a"), -1);
}

TEST_F(BpeTokenizerTest, WithoutAPieceForSpaceItsBytesAreThoseOfU2581) {
  TokenizerFileBuilder builder;
  builder.Add(" ");  // unreachable: spaces are written as U+2581
  const auto tokenizer = BpeTokenizer::Parse(builder.Build()).value();
  EXPECT_THAT(tokenizer->Encode(" ", {}).value(), ElementsAre(0xE2, 0x96, 0x81));
}

TEST_F(BpeTokenizerTest, TwoPiecesForOneCharacterAreRefused) {
  builder_.Add("a");
  EXPECT_EQ(BpeTokenizer::Parse(builder_.Build()).status().message(),
            "pieces 256 and 266 are spelled alike");
}

TEST_F(BpeTokenizerTest, LoadNamesThePath) {
  const std::string path = ::testing::TempDir() + "/damaged_tokenizer.bin";
  EXPECT_THAT(std::string(BpeTokenizer::Load(path).status().message()), HasSubstr(path));
  std::ofstream(path) << "not a tokenizer";
  EXPECT_THAT(std::string(BpeTokenizer::Load(path).status().message()),
              HasSubstr(path + ": it is not a tokenizer file, or it is damaged"));
  std::ofstream(path, std::ios::binary) << builder_.Build();
  EXPECT_TRUE(BpeTokenizer::Load(path).ok());
  std::remove(path.c_str());
}

TEST_F(BpeTokenizerTest, AMegabyteOfAnythingTakesLittleTime) {
  for (const std::string unit :
       {"a", "b", " ", "ab", "a ", "<", "<b", "\xC3\xA8", "a b \xC3\xA9"}) {
    std::string text;
    while (text.size() < 1000000) text += unit;
    const auto start = std::chrono::steady_clock::now();
    const std::vector<int32_t> ids = Encode(text);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_LT(seconds.count(), 5) << unit;
    EXPECT_EQ(Decode(*tokenizer_, ids, {}).value(), text);
  }
}

// A file of the fixture's, damaged in one of three ways:
// bits flipped, cut off, or well formed with other contents.
std::string Damage(TokenizerFileBuilder builder, std::mt19937& random) {
  const uint32_t way = random() % 3;
  if (way == 0) {
    for (uint32_t changes = 1 + random() % 3; changes > 0; --changes) {
      builder.kinds[256 + random() % (builder.kinds.size() - 256)] =
          static_cast<uint8_t>(random() % 6);
      int32_t* const fields[] = {&builder.bos,
                                 &builder.merges[random() % builder.merges.size()].merged};
      if (random() % 4 == 0) *fields[random() % 2] = static_cast<int32_t>(random() % 300);
    }
    return builder.Build();
  }
  std::string file = builder.Build();
  for (uint32_t flips = 1 + random() % 4; flips > 0; --flips) {
    file[random() % file.size()] ^= static_cast<char>(1 << random() % 8);
  }
  if (way == 1) file.resize(random() % file.size());
  return file;
}

// Damaged files are refused or work; nothing else. Meant for the address sanitizer as well.
TEST_F(BpeTokenizerTest, DamagedFilesNeverCrash) {
  std::mt19937 random(11);
  int loaded = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto tokenizer = BpeTokenizer::Parse(Damage(builder_, random));
    if (!tokenizer.ok()) continue;
    ++loaded;
    for (const bool parse_special : {false, true}) {
      const auto ids =
          (*tokenizer)->Encode("ab <b>a  b\xC3\xA9<bos>", {.parse_special = parse_special});
      ASSERT_TRUE(ids.ok());
      ASSERT_TRUE(Decode(**tokenizer, *ids, {}).ok());
    }
  }
  std::cout << loaded << " of 3000 damaged files still loaded\n";
  EXPECT_GT(loaded, 100);
  EXPECT_LT(loaded, 1500);
}

}  // namespace
}  // namespace gemma
