#include "cc/text/merge_table.h"

#include <algorithm>
#include <ctime>
#include <iostream>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cc/text/tokenizer_file_builder.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

// The definition, step by step: of all neighbours that can be joined,
// the lowest rank, then the leftmost.
std::vector<int32_t> ReferenceMerge(const std::vector<MergeRule>& rules,
                                    std::vector<int32_t> symbols) {
  std::map<std::pair<int32_t, int32_t>, MergeRule> by_pair;
  for (const MergeRule& rule : rules) by_pair[{rule.left, rule.right}] = rule;
  while (true) {
    const MergeRule* best = nullptr;
    size_t best_at = 0;
    for (size_t at = 0; at + 1 < symbols.size(); ++at) {
      const auto found = by_pair.find({symbols[at], symbols[at + 1]});
      if (found == by_pair.end() || (best != nullptr && best->rank <= found->second.rank)) continue;
      best = &found->second;
      best_at = at;
    }
    if (best == nullptr) return symbols;
    symbols[best_at] = best->merged;
    symbols.erase(symbols.begin() + best_at + 1);
  }
}

// Random pieces over `letters`, with every way to cut
// a piece in two as a merge, in random order of rank.
TokenizerFileBuilder RandomFile(std::mt19937& random, int letters, int pieces) {
  TokenizerFileBuilder builder;
  std::map<std::string, int32_t> ids;
  for (int letter = 0; letter < letters; ++letter) {
    const std::string piece(1, static_cast<char>('a' + letter));
    ids[piece] = builder.Add(piece);
  }
  for (int attempt = 0; attempt < pieces; ++attempt) {
    std::string piece;
    for (int part = 0; part < 2; ++part)
      piece += std::next(ids.begin(), random() % ids.size())->first;
    if (piece.size() <= 12 && !ids.contains(piece)) ids[piece] = builder.Add(piece);
  }
  for (const auto& [piece, id] : ids) {
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const auto left = ids.find(piece.substr(0, cut));
      const auto right = ids.find(piece.substr(cut));
      if (left != ids.end() && right != ids.end()) builder.Merge(left->second, right->second, id);
    }
  }
  std::vector<int32_t> ranks;
  for (const MergeRule& rule : builder.merges) ranks.push_back(rule.rank);
  std::shuffle(ranks.begin(), ranks.end(), random);
  for (size_t index = 0; index < ranks.size(); ++index) builder.merges[index].rank = ranks[index];
  return builder;
}

TEST(MergeTableTest, AgreesWithTheDefinition) {
  std::mt19937 random(7);
  int joined = 0;
  for (int round = 0; round < 300; ++round) {
    const int letters = 1 + static_cast<int>(random() % 4);
    TokenizerFileBuilder builder = RandomFile(random, letters, static_cast<int>(random() % 60));
    const absl::StatusOr<Vocabulary> vocabulary = Vocabulary::Parse(builder.Build());
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    const MergeTable table(*vocabulary);
    Merger merger(table);
    for (int text = 0; text < 30; ++text) {
      std::vector<int32_t> symbols(random() % 50);
      for (int32_t& symbol : symbols) symbol = 256 + static_cast<int32_t>(random() % letters);
      const std::vector<int32_t> expected = ReferenceMerge(vocabulary->merges(), symbols);
      joined += static_cast<int>(symbols.size() - expected.size());
      merger.Merge(symbols);
      ASSERT_EQ(symbols, expected) << "round " << round << ", text " << text;
    }
  }
  EXPECT_GT(joined, 50000);
}

TEST(MergeTableTest, FindsEveryMergeAndNothingElse) {
  std::mt19937 random(8);
  TokenizerFileBuilder builder = RandomFile(random, 3, 200);
  const absl::StatusOr<Vocabulary> vocabulary = Vocabulary::Parse(builder.Build());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  const MergeTable table(*vocabulary);
  std::set<std::pair<int32_t, int32_t>> pairs;
  for (const MergeRule& rule : vocabulary->merges()) {
    const MergeTable::Result* result = table.Find(rule.left, rule.right);
    ASSERT_NE(result, nullptr);
    EXPECT_EQ(result->rank, rule.rank);
    EXPECT_EQ(result->merged, rule.merged);
    pairs.insert({rule.left, rule.right});
  }
  for (int32_t left = 0; left < vocabulary->size(); ++left) {
    for (int32_t right = 0; right < vocabulary->size(); ++right) {
      if (pairs.contains({left, right})) continue;
      ASSERT_EQ(table.Find(left, right), nullptr);
    }
  }
}

TEST(MergeTableTest, NeverMakesOrUsesControlOrUnusedPieces) {
  for (const PieceKind kind : {PieceKind::kControl, PieceKind::kUnused}) {
    TokenizerFileBuilder builder;
    const int32_t a = builder.Add("a");
    const int32_t b = builder.Add("b");
    const int32_t c = builder.Add("c", kind);
    const int32_t ab = builder.Add("ab", kind);
    const int32_t bc = builder.Add("bc");
    builder.Merge(a, b, ab);
    builder.Merge(b, c, bc);
    const absl::StatusOr<Vocabulary> vocabulary = Vocabulary::Parse(builder.Build());
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    const MergeTable table(*vocabulary);
    EXPECT_EQ(table.Find(a, b), nullptr);
    EXPECT_EQ(table.Find(b, c), nullptr);
  }
}

// A megasymbol of one letter, where a piece of every length up to 64 can be joined from many pairs.
TEST(MergeTableTest, TimeGrowsAlmostLinearly) {
  TokenizerFileBuilder builder;
  std::vector<int32_t> runs;
  for (int length = 1; length <= 64; ++length)
    runs.push_back(builder.Add(std::string(length, 'a')));
  for (int length = 64; length >= 2; --length) {
    for (int left = 1; left < length; ++left) {
      builder.Merge(runs[left - 1], runs[length - left - 1], runs[length - 1]);
    }
  }
  const absl::StatusOr<Vocabulary> vocabulary = Vocabulary::Parse(builder.Build());
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  const MergeTable table(*vocabulary);
  Merger merger(table);
  // The processor's time, and the best of three: what other processes do must not matter.
  const auto seconds_for = [&](size_t count) {
    double best = std::numeric_limits<double>::infinity();
    for (int repetition = 0; repetition < 3; ++repetition) {
      std::vector<int32_t> symbols(count, runs[0]);
      const std::clock_t start = std::clock();
      merger.Merge(symbols);
      best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
      EXPECT_EQ(symbols.size(), (count + 63) / 64);
    }
    return best;
  };
  const double small = seconds_for(1 << 17);
  const double large = seconds_for(1 << 20);
  std::cout << "131072 symbols: " << small * 1e3 << " ms, 1048576 symbols: " << large * 1e3
            << " ms\n";
  // Eight times the symbols; quadratic time would be 64 times as long.
  EXPECT_LT(large, 32 * small + 0.05);
}

}  // namespace
}  // namespace gemma
