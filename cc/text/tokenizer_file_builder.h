// Writes tokenizer.bin files for tests, right ones and wrong ones.
//
//   TokenizerFileBuilder builder;              // 256 byte pieces
//   const int32_t a = builder.Add("a");
//   builder.Merge(a, a, builder.Add("aa"));
//   BpeTokenizer::Parse(builder.Build());
#ifndef CC_TEXT_TOKENIZER_FILE_BUILDER_H_
#define CC_TEXT_TOKENIZER_FILE_BUILDER_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "cc/text/tokenizer.h"
#include "cc/text/tokenizer_generated.h"
#include "cc/text/vocabulary.h"
#include "flatbuffers/flatbuffers.h"

namespace gemma {

// Public data: a test spoils what it wants before it builds.
struct TokenizerFileBuilder {
  TokenizerFileBuilder() {
    for (int byte = 0; byte < 256; ++byte) Add(absl::StrFormat("<0x%02X>", byte), PieceKind::kByte);
  }

  int32_t Add(std::string_view piece, PieceKind kind = PieceKind::kNormal) {
    text += piece;
    offsets.push_back(static_cast<uint32_t>(text.size()));
    kinds.push_back(static_cast<uint8_t>(kind));
    return static_cast<int32_t>(kinds.size()) - 1;
  }

  // Gives the merge the next rank.
  void Merge(int32_t left, int32_t right, int32_t merged) {
    merges.push_back({left, right, merged, static_cast<int32_t>(merges.size())});
  }

  // Sorts the merges first, as the format wants them.
  std::string Build() {
    std::ranges::sort(merges, {},
                      [](const MergeRule& rule) { return std::pair(rule.left, rule.right); });
    return BuildUnsorted();
  }

  std::string BuildUnsorted() const {
    flatbuffers::FlatBufferBuilder builder;
    std::vector<text::Merge> rules;
    for (const MergeRule& rule : merges)
      rules.emplace_back(rule.left, rule.right, rule.merged, rule.rank);
    const auto text_bytes =
        builder.CreateVector(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    const auto offsets_vector = builder.CreateVector(offsets);
    const auto kinds_vector = builder.CreateVector(kinds);
    const auto merges_vector = builder.CreateVectorOfStructs(rules);
    text::TokenizerBuilder root(builder);
    root.add_version(version);
    root.add_text(text_bytes);
    root.add_offsets(offsets_vector);
    root.add_kinds({kinds_vector.o});
    root.add_merges(merges_vector);
    root.add_bos(bos);
    text::FinishTokenizerBuffer(builder, root.Finish());
    return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()),
                       builder.GetSize());
  }

  uint32_t version = 1;
  std::string text;
  std::vector<uint32_t> offsets = {0};
  std::vector<uint8_t> kinds;
  std::vector<MergeRule> merges;
  int32_t bos = -1;
};

}  // namespace gemma

#endif  // CC_TEXT_TOKENIZER_FILE_BUILDER_H_
