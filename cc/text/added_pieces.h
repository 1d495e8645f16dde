// AddedPieces: finds the CONTROL and USER pieces of a vocabulary in text, as it was written, before
// anything is merged.
#ifndef CC_TEXT_ADDED_PIECES_H_
#define CC_TEXT_ADDED_PIECES_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/text/vocabulary.h"

namespace gemma {

class AddedPieces {
 public:
  struct Match {
    int32_t id = -1;  // -1: none
    size_t begin = 0;
    size_t size = 0;  // bytes
  };

  // InvalidArgument when two such pieces are spelled alike. `vocabulary` must outlive this.
  static absl::StatusOr<AddedPieces> Build(const Vocabulary& vocabulary);

  // The first match that begins at `from` or later; where several begin, the longest.
  Match FindNext(std::string_view text, size_t from) const;

  // The piece spelled `piece`, or -1.
  int32_t Find(std::string_view piece) const;

 private:
  // Pieces ids_[begin, end).
  struct Range {
    int32_t begin = 0;
    int32_t end = 0;
  };

  explicit AddedPieces(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {}
  Range Narrow(Range range, size_t at, char byte) const;
  Match LongestAt(std::string_view text, size_t begin) const;

  const Vocabulary* vocabulary_;
  std::vector<int32_t> ids_;           // ordered by the bytes of their pieces
  std::array<Range, 256> by_first_{};  // the pieces that begin with a byte
};

}  // namespace gemma

#endif  // CC_TEXT_ADDED_PIECES_H_
