#include "cc/text/vocabulary.h"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "cc/text/tokenizer_file_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;

// a, b, ab and <bos>, with the merge a b -> ab.
TokenizerFileBuilder SmallFile() {
  TokenizerFileBuilder builder;
  const int32_t a = builder.Add("a");
  const int32_t b = builder.Add("b");
  builder.Merge(a, b, builder.Add("ab"));
  builder.bos = builder.Add("<bos>", PieceKind::kControl);
  return builder;
}

constexpr int32_t kA = 256;
constexpr int32_t kB = 257;
constexpr int32_t kAb = 258;
constexpr int32_t kBos = 259;

TEST(VocabularyTest, ReadsWhatWasWritten) {
  const absl::StatusOr<Vocabulary> vocabulary = Vocabulary::Parse(SmallFile().Build());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->size(), 260);
  EXPECT_EQ(vocabulary->Piece(kAb), "ab");
  EXPECT_EQ(vocabulary->Piece(0x41), "<0x41>");
  EXPECT_EQ(vocabulary->Kind(kBos), PieceKind::kControl);
  EXPECT_EQ(vocabulary->bos(), kBos);
  EXPECT_EQ(vocabulary->ByteId(0xFF), 0xFF);
  ASSERT_EQ(vocabulary->merges().size(), 1u);
  EXPECT_EQ(vocabulary->merges()[0].merged, kAb);
}

// Each file is wrong in one way, and the sentence says in which.
struct BadFile {
  std::string sentence;
  std::function<void(TokenizerFileBuilder&)> spoil;
};

const std::vector<BadFile>& BadFiles() {
  using B = TokenizerFileBuilder;
  static const auto& files = *new std::vector<BadFile>{
      {"version is 2", [](B& b) { b.version = 2; }},
      {"260 offsets for 260 pieces, not 261", [](B& b) { b.offsets.pop_back(); }},
      {"262 offsets for 260 pieces", [](B& b) { b.offsets.push_back(b.offsets.back()); }},
      {"offsets go from 0 to 4000000000", [](B& b) { b.offsets.back() = 4000000000u; }},
      {"offsets go from 1 to", [](B& b) { b.offsets.front() = 1; }},
      {"piece 256 begins at 1537 and ends at 1536",
       [](B& b) { b.offsets[256] = 1537, b.offsets[257] = 1536; }},
      {"piece 256 is empty", [](B& b) { b.offsets[257] = b.offsets[256]; }},
      {"not valid UTF-8 at byte 1536", [](B& b) { b.text[1536] = '\xFF'; }},
      {"piece 257 begins inside a character",
       [](B& b) { b.text[1536] = '\xC3', b.text[1537] = '\xA9'; }},
      {"piece 257 is of unknown kind 5", [](B& b) { b.kinds[kB] = 5; }},
      {"piece 257 is of unknown kind 255", [](B& b) { b.kinds[kB] = 255; }},
      {"byte piece 0 is not spelled <0xHH>", [](B& b) { b.text[3] = '-'; }},
      {"byte piece 171 is not spelled <0xHH>", [](B& b) { b.text[171 * 6 + 3] = 'a'; }},
      {"byte piece 256 is not spelled <0xHH>", [](B& b) { b.kinds[kA] = 1; }},
      {"pieces 1 and 2 are both byte 1", [](B& b) { b.text[2 * 6 + 4] = '1'; }},
      {"no piece for byte 65", [](B& b) { b.kinds[0x41] = 0; }},
      {"bos 258 is not a control piece", [](B& b) { b.bos = kAb; }},
      {"bos 260 is not a control piece", [](B& b) { b.bos = 260; }},
      {"bos -2 is not a control piece", [](B& b) { b.bos = -2; }},
      {"special piece 260 has 1025 bytes",
       [](B& b) { b.Add(std::string(1025, 'x'), PieceKind::kUser); }},
      {"merge 0 names piece 260, but there are 260", [](B& b) { b.merges[0].right = 260; }},
      {"merge 0 names piece -1", [](B& b) { b.merges[0].merged = -1; }},
      {"merge 0 involves byte piece 65", [](B& b) { b.merges[0].left = 0x41; }},
      {"which is not piece 257 and then piece 257", [](B& b) { b.merges[0].left = kB; }},
      {"merge 0 makes piece 256", [](B& b) { b.merges[0].merged = kA; }},
      {"merge 0 makes piece 258", [](B& b) { b.merges[0].left = kAb; }},
      {"merges 0 and 1 are not in order", [](B& b) { b.Merge(kA, kB, kAb); }},
      {"rank 1 of the merge of pieces 256 and 257", [](B& b) { b.merges[0].rank = 1; }},
      {"rank 4294967295 of the merge", [](B& b) { b.merges[0].rank = -1; }},
      {"is taken twice", [](B& b) { b.Merge(kB, kA, b.Add("ba")), b.merges[1].rank = 0; }},
      {"more than the 1048576 allowed", [](B& b) { b.merges.resize((1 << 20) + 1); }},
      {"1048577 pieces", [](B& b) { b.kinds.resize((1 << 20) + 1); }},
      {"16777217 bytes of text", [](B& b) { b.text.resize((16 << 20) + 1); }},
  };
  return files;
}

TEST(VocabularyTest, RefusesWhatIsWrongInASentence) {
  for (const BadFile& bad : BadFiles()) {
    TokenizerFileBuilder builder = SmallFile();
    bad.spoil(builder);
    const std::string file = builder.BuildUnsorted();
    const auto start = std::chrono::steady_clock::now();
    const absl::StatusOr<Vocabulary> vocabulary = Vocabulary::Parse(file);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    ASSERT_FALSE(vocabulary.ok()) << bad.sentence;
    EXPECT_THAT(std::string(vocabulary.status().message()), HasSubstr(bad.sentence));
    EXPECT_LT(seconds.count(), 0.1) << bad.sentence;
  }
}

TEST(VocabularyTest, MergesOutOfOrderAreRefused) {
  TokenizerFileBuilder builder = SmallFile();
  builder.Merge(kB, kA, builder.Add("ba"));
  EXPECT_TRUE(Vocabulary::Parse(builder.BuildUnsorted()).ok());
  std::swap(builder.merges[0], builder.merges[1]);
  EXPECT_THAT(std::string(Vocabulary::Parse(builder.BuildUnsorted()).status().message()),
              HasSubstr("not in order"));
  EXPECT_TRUE(Vocabulary::Parse(builder.Build()).ok());
}

TEST(VocabularyTest, OnlyUnusedPiecesMayBeEmpty) {
  TokenizerFileBuilder builder = SmallFile();
  builder.Add("", PieceKind::kUnused);
  EXPECT_TRUE(Vocabulary::Parse(builder.Build()).ok());
}

TEST(VocabularyTest, EveryTruncationIsRefused) {
  const std::string file = SmallFile().Build();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(Vocabulary::Parse(file.substr(0, size)).ok()) << size;
  }
}

TEST(VocabularyTest, AnotherFormatIsRefused) {
  EXPECT_THAT(std::string(Vocabulary::Parse(std::string(1000, 'x')).status().message()),
              HasSubstr("not a tokenizer file"));
  std::string file = SmallFile().Build();
  file.replace(4, 4, "GPLN");
  EXPECT_FALSE(Vocabulary::Parse(file).ok());
}

}  // namespace
}  // namespace gemma
