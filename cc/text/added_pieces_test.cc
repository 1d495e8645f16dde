#include "cc/text/added_pieces.h"

#include <random>
#include <string>
#include <vector>

#include "cc/text/tokenizer_file_builder.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

Vocabulary ParseOrDie(TokenizerFileBuilder builder) {
  return Vocabulary::Parse(builder.Build()).value();
}

// The definition: the first position where any piece matches, and there the longest.
AddedPieces::Match ReferenceNext(const Vocabulary& vocabulary, std::string_view text, size_t from) {
  for (size_t begin = from; begin < text.size(); ++begin) {
    AddedPieces::Match best;
    for (int32_t id = 256; id < vocabulary.size(); ++id) {
      const std::string_view piece = vocabulary.Piece(id);
      if (vocabulary.Kind(id) == PieceKind::kNormal || !text.substr(begin).starts_with(piece))
        continue;
      if (piece.size() > best.size) best = {id, begin, piece.size()};
    }
    if (best.id != -1) return best;
  }
  return {};
}

TEST(AddedPiecesTest, AgreesWithTheDefinition) {
  std::mt19937 random(3);
  const auto random_text = [&random](size_t size) {
    std::string text;
    while (text.size() < size) text += std::string_view("<|n>")[random() % 4];
    return text;
  };
  int matches = 0;
  for (int round = 0; round < 200; ++round) {
    TokenizerFileBuilder builder;
    std::vector<std::string> used;
    for (int piece = 0; piece < 12; ++piece) {
      const std::string text = random_text(1 + random() % 6);
      if (std::ranges::find(used, text) != used.end()) continue;
      used.push_back(text);
      const PieceKind kinds[] = {PieceKind::kNormal, PieceKind::kControl, PieceKind::kUser};
      builder.Add(text, kinds[random() % 3]);
    }
    const Vocabulary vocabulary = ParseOrDie(builder);
    const absl::StatusOr<AddedPieces> added = AddedPieces::Build(vocabulary);
    ASSERT_TRUE(added.ok()) << added.status();
    const std::string text = random_text(random() % 40);
    for (size_t from = 0; from <= text.size(); ++from) {
      const AddedPieces::Match expected = ReferenceNext(vocabulary, text, from);
      const AddedPieces::Match found = added->FindNext(text, from);
      ASSERT_EQ(found.id, expected.id) << text << " from " << from;
      ASSERT_EQ(found.begin, expected.begin);
      ASSERT_EQ(found.size, expected.size);
      matches += found.id != -1;
    }
  }
  EXPECT_GT(matches, 1000);
}

TEST(AddedPiecesTest, FindsByWholeSpelling) {
  TokenizerFileBuilder builder;
  const int32_t turn = builder.Add("<|turn>", PieceKind::kControl);
  const int32_t tab = builder.Add("\t", PieceKind::kUser);
  builder.Add("word");
  const Vocabulary vocabulary = ParseOrDie(builder);
  const AddedPieces added = AddedPieces::Build(vocabulary).value();
  EXPECT_EQ(added.Find("<|turn>"), turn);
  EXPECT_EQ(added.Find("\t"), tab);
  for (const char* other : {"", "<", "<|turn", "<|turn>x", "word", "\t\t"})
    EXPECT_EQ(added.Find(other), -1) << other;
}

TEST(AddedPiecesTest, TwinsAreRefused) {
  TokenizerFileBuilder builder;
  builder.Add("<|turn>", PieceKind::kControl);
  builder.Add("<|turn>", PieceKind::kUser);
  const Vocabulary vocabulary = ParseOrDie(builder);
  EXPECT_EQ(AddedPieces::Build(vocabulary).status().message(),
            "special pieces 256 and 257 are spelled alike");
}

}  // namespace
}  // namespace gemma
