#include "cc/text/added_pieces.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace gemma {

absl::StatusOr<AddedPieces> AddedPieces::Build(const Vocabulary& vocabulary) {
  AddedPieces added(vocabulary);
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const PieceKind kind = vocabulary.Kind(id);
    if (kind == PieceKind::kControl || kind == PieceKind::kUser) added.ids_.push_back(id);
  }
  const auto piece = [&vocabulary](int32_t id) { return vocabulary.Piece(id); };
  std::ranges::sort(added.ids_, {}, piece);
  if (const auto twin = std::ranges::adjacent_find(added.ids_, {}, piece);
      twin != added.ids_.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("special pieces ", twin[0], " and ", twin[1], " are spelled alike"));
  }
  const Range all{0, static_cast<int32_t>(added.ids_.size())};
  for (int byte = 0; byte < 256; ++byte)
    added.by_first_[byte] = added.Narrow(all, 0, static_cast<char>(byte));
  return added;
}

AddedPieces::Match AddedPieces::FindNext(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    const Range& candidates = by_first_[static_cast<uint8_t>(text[begin])];
    if (candidates.begin == candidates.end) continue;
    if (const Match match = LongestAt(text, begin); match.id != -1) return match;
  }
  return {};
}

int32_t AddedPieces::Find(std::string_view piece) const {
  const auto spelled = [this](int32_t id) { return vocabulary_->Piece(id); };
  const auto found = std::ranges::lower_bound(ids_, piece, {}, spelled);
  return found != ids_.end() && vocabulary_->Piece(*found) == piece ? *found : -1;
}

// Of pieces in `range`, which agree in their first `at` bytes, those that have `byte` next.
AddedPieces::Range AddedPieces::Narrow(Range range, size_t at, char byte) const {
  // A piece that ends before `at` sorts before all longer ones.
  const auto next = [this, at](int32_t id) {
    const std::string_view piece = vocabulary_->Piece(id);
    return piece.size() > at ? static_cast<int>(static_cast<uint8_t>(piece[at])) : -1;
  };
  const auto found =
      std::ranges::equal_range(ids_.begin() + range.begin, ids_.begin() + range.end,
                               static_cast<int>(static_cast<uint8_t>(byte)), {}, next);
  return {static_cast<int32_t>(found.begin() - ids_.begin()),
          static_cast<int32_t>(found.end() - ids_.begin())};
}

AddedPieces::Match AddedPieces::LongestAt(std::string_view text, size_t begin) const {
  Match longest;
  Range range = by_first_[static_cast<uint8_t>(text[begin])];
  for (size_t size = 1; range.begin != range.end; ++size) {
    // The shortest piece of the range is its first one.
    const int32_t id = ids_[range.begin];
    if (vocabulary_->Piece(id).size() == size) longest = {id, begin, size};
    if (begin + size == text.size()) break;
    range = Narrow(range, size, text[begin + size]);
  }
  return longest;
}

}  // namespace gemma
