#include "cc/text/piece_bytes.h"

namespace gemma {
namespace {

constexpr std::string_view kWrittenSpace = "\xE2\x96\x81";

}  // namespace

std::string WithSpaces(std::string_view piece) {
  std::string text;
  size_t at = 0;
  for (size_t space; (space = piece.find(kWrittenSpace, at)) != std::string_view::npos;
       at = space + kWrittenSpace.size()) {
    text += piece.substr(at, space - at);
    text += ' ';
  }
  text += piece.substr(at);
  return text;
}

char ByteOf(std::string_view piece) {
  const auto digit = [](char hex) { return hex <= '9' ? hex - '0' : hex - 'A' + 10; };
  return static_cast<char>(digit(piece[3]) << 4 | digit(piece[4]));
}

std::string PieceBytes(const Tokenizer& tokenizer, int32_t id) {
  switch (tokenizer.Kind(id)) {
    case PieceKind::kNormal:
    case PieceKind::kUser:
      return WithSpaces(tokenizer.Piece(id));
    case PieceKind::kByte:
      return {ByteOf(tokenizer.Piece(id))};
    case PieceKind::kControl:
    case PieceKind::kUnused:
      return "";
  }
  return "";
}

}  // namespace gemma
