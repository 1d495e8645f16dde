// Tokenizer: text to token ids. The interface that callers see; bpe_tokenizer.h
// implements it, fake_tokenizer.h stands in for it in tests, decoder.h turns ids back into text.
//
//   GEMMA_ASSIGN_OR_RETURN(auto tokenizer, BpeTokenizer::Load("model/tokenizer.bin"));
//   GEMMA_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer->Encode("Hello", {}));
//
// Implementations are immutable: any number of threads may use one.
#ifndef CC_TEXT_TOKENIZER_H_
#define CC_TEXT_TOKENIZER_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace gemma {

// What a piece of the vocabulary is for; the values are those of tokenizer.fbs.
enum class PieceKind : uint8_t {
  kNormal = 0,
  kByte = 1,     // <0xHH>: one byte of a character that no piece covers
  kControl = 2,  // a special token, such as <bos>
  kUser = 3,     // matched whole before merging, printed as it is
  kUnused = 4,
};

struct EncodeOptions {
  // Whether special tokens spelled out in the text become their ids. Never set this for text that a
  // user wrote: without it no text can make a special token.
  bool parse_special = false;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids of `text`. BOS is not added. InvalidArgument when the text is not valid UTF-8.
  virtual absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text,
                                                      const EncodeOptions& options) const = 0;

  // Ids are 0 to vocabulary_size() - 1.
  virtual int32_t vocabulary_size() const = 0;

  // The token that begins a text; -1 when there is none.
  virtual int32_t bos_id() const = 0;

  // Requires 0 <= id < vocabulary_size(). A piece is written as in the vocabulary: U+2581 for
  // space, <0xHH> for a byte.
  virtual std::string_view Piece(int32_t id) const = 0;
  virtual PieceKind Kind(int32_t id) const = 0;

  // The id of the special token spelled `piece`; -1 when there is none.
  virtual int32_t ControlId(std::string_view piece) const = 0;
};

}  // namespace gemma

#endif  // CC_TEXT_TOKENIZER_H_
