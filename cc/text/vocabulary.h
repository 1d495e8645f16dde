// Vocabulary: the pieces and merges of a tokenizer.bin (tokenizer.fbs), after every check that its
// reader relies on.
//
// What holds once Parse has returned one: ids in merges, bos() and ByteId() lie in the vocabulary;
// pieces are whole UTF-8 characters and not empty unless they are UNUSED; the piece of a merge is
// its left piece followed by its right piece, so merging always ends; ranks are a permutation; byte
// pieces are never merged; CONTROL and USER pieces are distinct and short.
#ifndef CC_TEXT_VOCABULARY_H_
#define CC_TEXT_VOCABULARY_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/text/tokenizer.h"

namespace gemma {

// Limits of a file that is still believed; Gemma 4 has 262,144 pieces, 514,906 merges and 10 MB.
inline constexpr uint64_t kMaxTokenizerFileBytes = 48 << 20;
inline constexpr uint64_t kMaxPieceTextBytes = 16 << 20;
inline constexpr uint64_t kMaxPieces = 1 << 20;
inline constexpr uint64_t kMaxMerges = 1 << 20;
inline constexpr uint64_t kMaxAddedPieceBytes = 1024;

// `left` followed by `right` becomes `merged`; of several the lowest rank wins.
struct MergeRule {
  int32_t left = 0;
  int32_t right = 0;
  int32_t merged = 0;
  int32_t rank = 0;
};

class Vocabulary {
 public:
  // `file`: the bytes of a tokenizer.bin, aligned to 8. InvalidArgument with a sentence when
  // anything is wrong.
  static absl::StatusOr<Vocabulary> Parse(std::string_view file);

  int32_t size() const { return static_cast<int32_t>(kinds_.size()); }
  int32_t bos() const { return bos_; }
  int32_t ByteId(uint8_t byte) const { return byte_ids_[byte]; }

  std::string_view Piece(int32_t id) const {
    return std::string_view(text_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
  }
  PieceKind Kind(int32_t id) const { return kinds_[id]; }

  // Ascending by (left, right), so no pair comes twice. Empty after ReleaseMerges.
  const std::vector<MergeRule>& merges() const { return merges_; }
  void ReleaseMerges() { merges_ = {}; }

 private:
  Vocabulary() = default;
  absl::Status CheckPieces();
  absl::Status CheckPiece(int32_t id) const;
  absl::Status AddBytePiece(int32_t id);
  absl::Status CheckMerges() const;
  absl::Status CheckMergeIds(size_t index) const;
  absl::Status CheckMergeSpelling(size_t index) const;
  void Prefetch(int32_t id) const;
  absl::Status CheckRanks() const;

  std::string text_;
  std::vector<uint32_t> offsets_;  // [size + 1]
  std::vector<PieceKind> kinds_;   // [size]
  std::vector<MergeRule> merges_;
  std::array<int32_t, 256> byte_ids_{};
  int32_t bos_ = -1;
};

}  // namespace gemma

#endif  // CC_TEXT_VOCABULARY_H_
