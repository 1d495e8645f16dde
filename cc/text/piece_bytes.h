// The bytes of text that a token stands for.
#ifndef CC_TEXT_PIECE_BYTES_H_
#define CC_TEXT_PIECE_BYTES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "cc/text/tokenizer.h"

namespace gemma {

// The piece with spaces for U+2581.
std::string WithSpaces(std::string_view piece);

// The byte of a piece spelled <0xHH>.
char ByteOf(std::string_view piece);

// Of `id` in the vocabulary; empty for special and unused tokens.
std::string PieceBytes(const Tokenizer& tokenizer, int32_t id);

}  // namespace gemma

#endif  // CC_TEXT_PIECE_BYTES_H_
