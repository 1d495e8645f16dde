// BpeTokenizer: the tokenizer of Gemma 3 and 4, byte-pair encoding with byte fallback, as Hugging
// Face's `tokenizers` computes it. In order:
//   1. CONTROL and USER pieces are found in the text as written: leftmost first, of several the
//      longest. CONTROL pieces count as text unless EncodeOptions::parse_special.
//   2. In the text between them every space becomes U+2581, every character its piece, or, where
//      there is none, the pieces of its UTF-8 bytes.
//   3. Neighbours are merged (merge_table.h).
#ifndef CC_TEXT_BPE_TOKENIZER_H_
#define CC_TEXT_BPE_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/text/added_pieces.h"
#include "cc/text/merge_table.h"
#include "cc/text/tokenizer.h"
#include "cc/text/vocabulary.h"

namespace gemma {

class BpeTokenizer : public Tokenizer {
 public:
  // Reads a tokenizer.bin. Errors name the path;
  // InvalidArgument when the file is damaged or hostile.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& path);

  // `file`: the bytes of a tokenizer.bin, aligned to 8; not needed afterwards.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(std::string_view file);

  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text,
                                              const EncodeOptions& options) const override;
  int32_t vocabulary_size() const override { return vocabulary_.size(); }
  int32_t bos_id() const override { return vocabulary_.bos(); }
  std::string_view Piece(int32_t id) const override { return vocabulary_.Piece(id); }
  PieceKind Kind(int32_t id) const override { return vocabulary_.Kind(id); }
  int32_t ControlId(std::string_view piece) const override;

 private:
  class Encoder;

  explicit BpeTokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  absl::Status BuildTables();
  absl::Status AddCharacterPiece(int32_t id);
  void AddJoins(std::string_view piece);

  Vocabulary vocabulary_;
  std::optional<AddedPieces> added_;
  std::optional<MergeTable> merges_;
  // The piece of a single character by code point, -1 where there is none. A space has that of
  // U+2581.
  std::vector<int32_t> character_ids_;
  // Characters that some piece has before a space. After any other a space begins a word that
  // merges by itself.
  absl::flat_hash_set<char32_t> joins_;
};

}  // namespace gemma

#endif  // CC_TEXT_BPE_TOKENIZER_H_
