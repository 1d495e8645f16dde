#include "cc/text/decoder.h"

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/text/piece_bytes.h"
#include "cc/text/utf8.h"

namespace gemma {
namespace {

absl::Status CheckId(const Tokenizer& tokenizer, int32_t id) {
  if (id >= 0 && id < tokenizer.vocabulary_size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("token ", id, " is not in the vocabulary of ", tokenizer.vocabulary_size()));
}

bool IsSkipped(const Tokenizer& tokenizer, int32_t id, const DecodeOptions& options) {
  return options.skip_control && tokenizer.Kind(id) == PieceKind::kControl;
}

std::string Replacements(size_t count) {
  std::string text;
  while (count-- > 0) text += kReplacementCharacter;
  return text;
}

// What a run of byte pieces says.
std::string TextOfBytes(std::string_view bytes) {
  return ValidUtf8Prefix(bytes) == bytes.size() ? std::string(bytes) : Replacements(bytes.size());
}

}  // namespace

absl::StatusOr<std::string> Decode(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                                   const DecodeOptions& options) {
  std::string text;
  std::string bytes;  // of the run of byte pieces that is going on
  for (const int32_t id : ids) {
    GEMMA_RETURN_IF_ERROR(CheckId(tokenizer, id));
    if (IsSkipped(tokenizer, id, options)) continue;
    if (tokenizer.Kind(id) == PieceKind::kByte) {
      bytes += ByteOf(tokenizer.Piece(id));
      continue;
    }
    text += TextOfBytes(std::exchange(bytes, {}));
    text += WithSpaces(tokenizer.Piece(id));
  }
  return text + TextOfBytes(bytes);
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options)
    : tokenizer_(tokenizer), options_(options) {}

absl::StatusOr<std::string> StreamDecoder::Add(int32_t id) {
  GEMMA_RETURN_IF_ERROR(CheckId(tokenizer_, id));
  if (IsSkipped(tokenizer_, id, options_)) return std::string();
  if (tokenizer_.Kind(id) == PieceKind::kByte) return AddByte(ByteOf(tokenizer_.Piece(id)));
  return Finish() + WithSpaces(tokenizer_.Piece(id));
}

std::string StreamDecoder::Finish() { return Replacements(std::exchange(held_, {}).size()); }

std::string StreamDecoder::AddByte(char byte) {
  held_ += byte;
  if (IsIncompleteCharacter(held_)) return {};
  if (ValidUtf8Prefix(held_) == held_.size()) return std::exchange(held_, {});
  // The new byte does not go on with what was held; it may begin a character itself.
  held_.pop_back();
  std::string text = Finish();
  if (const std::string_view alone(&byte, 1); IsIncompleteCharacter(alone)) {
    held_ = alone;
  } else {
    text += TextOfBytes(alone);
  }
  return text;
}

}  // namespace gemma
