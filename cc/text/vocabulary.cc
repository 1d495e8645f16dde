#include "cc/text/vocabulary.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/tokenizer_generated.h"
#include "cc/text/utf8.h"
#include "flatbuffers/flatbuffers.h"

namespace gemma {
namespace {

constexpr uint32_t kFileVersion = 1;

// How many merges ahead of a check its pieces are fetched into the cache.
constexpr size_t kPrefetch = 16;

static_assert(static_cast<int>(PieceKind::kNormal) == static_cast<int>(text::PieceKind::NORMAL));
static_assert(static_cast<int>(PieceKind::kByte) == static_cast<int>(text::PieceKind::BYTE));
static_assert(static_cast<int>(PieceKind::kControl) == static_cast<int>(text::PieceKind::CONTROL));
static_assert(static_cast<int>(PieceKind::kUser) == static_cast<int>(text::PieceKind::USER));
static_assert(static_cast<int>(PieceKind::kUnused) == static_cast<int>(text::PieceKind::MAX));

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status RefuseOver(const char* what, uint64_t count, uint64_t limit) {
  return Refuse("it has ", count, " ", what, ", more than the ", limit, " allowed");
}

// The root table, once the verifier has proved that following it stays inside `file`.
absl::StatusOr<const text::Tokenizer*> Verify(std::string_view file) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(file.data());
  flatbuffers::Verifier verifier(bytes, file.size(), /*max_depth=*/4, /*max_tables=*/4);
  // Writers pad to a multiple of 4: a file that ends inside the padding was cut off too.
  if (file.size() % sizeof(uint32_t) != 0 || !text::VerifyTokenizerBuffer(verifier)) {
    return Refuse("it is not a tokenizer file, or it is damaged; export the model again");
  }
  const text::Tokenizer* root = text::GetTokenizer(bytes);
  if (root->version() != kFileVersion) {
    return Refuse("its version is ", root->version(), ", but this program reads version ",
                  kFileVersion, "; export the model again");
  }
  return root;
}

absl::Status CheckCounts(const text::Tokenizer& root) {
  const uint64_t pieces = root.kinds()->size();
  if (pieces > kMaxPieces) return RefuseOver("pieces", pieces, kMaxPieces);
  if (root.offsets()->size() != pieces + 1) {
    return Refuse("it has ", root.offsets()->size(), " offsets for ", pieces, " pieces, not ",
                  pieces + 1);
  }
  if (root.text()->size() > kMaxPieceTextBytes) {
    return RefuseOver("bytes of text", root.text()->size(), kMaxPieceTextBytes);
  }
  if (root.merges()->size() > kMaxMerges)
    return RefuseOver("merges", root.merges()->size(), kMaxMerges);
  return absl::OkStatus();
}

absl::Status CheckOffsets(const std::vector<uint32_t>& offsets, std::string_view text) {
  if (offsets.front() != 0 || offsets.back() != text.size()) {
    return Refuse("its offsets go from ", offsets.front(), " to ", offsets.back(),
                  ", but its text from 0 to ", text.size());
  }
  const auto descent = std::adjacent_find(offsets.begin(), offsets.end(), std::greater<>());
  if (descent == offsets.end()) return absl::OkStatus();
  return Refuse("piece ", descent - offsets.begin(), " begins at ", descent[0], " and ends at ",
                descent[1]);
}

// The value of <0xHH>, or -1 when `piece` is not spelled so.
int ByteValue(std::string_view piece) {
  if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return -1;
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const size_t high = kHex.find(piece[3]);
  const size_t low = kHex.find(piece[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return -1;
  return static_cast<int>(high * 16 + low);
}

bool IsAdded(PieceKind kind) { return kind == PieceKind::kControl || kind == PieceKind::kUser; }

}  // namespace

absl::StatusOr<Vocabulary> Vocabulary::Parse(std::string_view file) {
  GEMMA_ASSIGN_OR_RETURN(const text::Tokenizer* const root, Verify(file));
  GEMMA_RETURN_IF_ERROR(CheckCounts(*root));
  Vocabulary vocabulary;
  vocabulary.text_.assign(reinterpret_cast<const char*>(root->text()->Data()),
                          root->text()->size());
  vocabulary.offsets_.assign(root->offsets()->begin(), root->offsets()->end());
  vocabulary.kinds_.resize(root->kinds()->size());
  std::transform(root->kinds()->Data(), root->kinds()->Data() + root->kinds()->size(),
                 vocabulary.kinds_.begin(), [](auto kind) { return static_cast<PieceKind>(kind); });
  vocabulary.bos_ = root->bos();
  GEMMA_RETURN_IF_ERROR(vocabulary.CheckPieces());
  vocabulary.merges_.reserve(root->merges()->size());
  for (const text::Merge* merge : *root->merges()) {
    vocabulary.merges_.push_back(
        {static_cast<int32_t>(merge->left()), static_cast<int32_t>(merge->right()),
         static_cast<int32_t>(merge->merged()), static_cast<int32_t>(merge->rank())});
  }
  GEMMA_RETURN_IF_ERROR(vocabulary.CheckMerges());
  return vocabulary;
}

absl::Status Vocabulary::CheckPieces() {
  GEMMA_RETURN_IF_ERROR(CheckOffsets(offsets_, text_));
  if (const size_t valid = ValidUtf8Prefix(text_); valid != text_.size()) {
    return Refuse("its text is not valid UTF-8 at byte ", valid);
  }
  byte_ids_.fill(-1);
  for (int32_t id = 0; id < size(); ++id) {
    GEMMA_RETURN_IF_ERROR(CheckPiece(id));
    if (kinds_[id] == PieceKind::kByte) GEMMA_RETURN_IF_ERROR(AddBytePiece(id));
  }
  if (const auto none = std::find(byte_ids_.begin(), byte_ids_.end(), -1);
      none != byte_ids_.end()) {
    return Refuse("it has no piece for byte ", none - byte_ids_.begin(), "; all 256 are needed");
  }
  if (bos_ != -1 && (bos_ < 0 || bos_ >= size() || kinds_[bos_] != PieceKind::kControl)) {
    return Refuse("its bos ", bos_, " is not a control piece of its ", size(), " pieces");
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::CheckPiece(int32_t id) const {
  if (kinds_[id] > PieceKind::kUnused)
    return Refuse("piece ", id, " is of unknown kind ", static_cast<int>(kinds_[id]));
  const std::string_view piece = Piece(id);
  if (piece.empty()) {
    return kinds_[id] == PieceKind::kUnused ? absl::OkStatus() : Refuse("piece ", id, " is empty");
  }
  if ((static_cast<uint8_t>(piece[0]) & 0xC0) == 0x80)
    return Refuse("piece ", id, " begins inside a character");
  if (IsAdded(kinds_[id]) && piece.size() > kMaxAddedPieceBytes) {
    return Refuse("special piece ", id, " has ", piece.size(), " bytes, more than the ",
                  kMaxAddedPieceBytes, " allowed");
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::AddBytePiece(int32_t id) {
  const int byte = ByteValue(Piece(id));
  if (byte < 0) return Refuse("byte piece ", id, " is not spelled <0xHH>");
  if (byte_ids_[byte] != -1) {
    return Refuse("pieces ", byte_ids_[byte], " and ", id, " are both byte ", byte);
  }
  byte_ids_[byte] = id;
  return absl::OkStatus();
}

absl::Status Vocabulary::CheckMerges() const {
  for (size_t index = 0; index < merges_.size(); ++index)
    GEMMA_RETURN_IF_ERROR(CheckMergeIds(index));
  for (size_t index = 0; index < merges_.size(); ++index) {
    if (index + kPrefetch < merges_.size()) {
      Prefetch(merges_[index + kPrefetch].right);
      Prefetch(merges_[index + kPrefetch].merged);
    }
    GEMMA_RETURN_IF_ERROR(CheckMergeSpelling(index));
  }
  const auto pair = [](const MergeRule& merge) { return std::pair(merge.left, merge.right); };
  const auto disorder = std::ranges::adjacent_find(merges_, std::greater_equal<>(), pair);
  if (disorder != merges_.end()) {
    return Refuse("merges ", disorder - merges_.begin(), " and ", disorder - merges_.begin() + 1,
                  " are not in order");
  }
  return CheckRanks();
}

absl::Status Vocabulary::CheckMergeIds(size_t index) const {
  const MergeRule& merge = merges_[index];
  for (const int32_t id : {merge.left, merge.right, merge.merged}) {
    if (id < 0 || id >= size())
      return Refuse("merge ", index, " names piece ", id, ", but there are ", size());
    if (kinds_[id] == PieceKind::kByte) return Refuse("merge ", index, " involves byte piece ", id);
  }
  return absl::OkStatus();
}

// The pieces of a merge are all over the text; asked for ahead of time they cost half as much.
void Vocabulary::Prefetch(int32_t id) const { __builtin_prefetch(text_.data() + offsets_[id]); }

absl::Status Vocabulary::CheckMergeSpelling(size_t index) const {
  const MergeRule& merge = merges_[index];
  const std::string_view left = Piece(merge.left);
  const std::string_view right = Piece(merge.right);
  const std::string_view merged = Piece(merge.merged);
  if (left.empty() || right.empty() || merged.size() != left.size() + right.size() ||
      !merged.starts_with(left) || !merged.ends_with(right)) {
    return Refuse("merge ", index, " makes piece ", merge.merged, ", which is not piece ",
                  merge.left, " and then piece ", merge.right);
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::CheckRanks() const {
  std::vector<bool> taken(merges_.size());
  for (const MergeRule& merge : merges_) {
    const size_t rank = static_cast<uint32_t>(merge.rank);
    if (rank >= taken.size() || taken[rank]) {
      return Refuse("rank ", rank, " of the merge of pieces ", merge.left, " and ", merge.right,
                    " is taken twice or not below ", taken.size());
    }
    taken[rank] = true;
  }
  return absl::OkStatus();
}

}  // namespace gemma
