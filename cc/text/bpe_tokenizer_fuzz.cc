// Whatever the bytes of a tokenizer.bin, it is refused in a sentence, or texts survive it: their
// ids are of the vocabulary, and decode to the same text.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_replace.h"
#include "build/fuzzing/harness.h"
#include "cc/text/bpe_tokenizer.h"
#include "cc/text/decoder.h"
#include "cc/text/tokenizer_file_builder.h"

namespace gemma::fuzzing {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // what a piece has for a space
constexpr char kText[] = "ab  a \xC3\xA9 <bos><b>\0\xF0\x9F\x98\x80 aaab";
constexpr int32_t kMostPieces = 300;  // that a text is made of

std::string Spaced(std::string_view piece) { return absl::StrReplaceAll(piece, {{kSpace, " "}}); }

// Whether a space has a piece. Where it has none it becomes the bytes of U+2581, which stay that.
bool HasSpace(const Tokenizer& tokenizer) {
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    const PieceKind kind = tokenizer.Kind(id);
    const bool is_made = kind == PieceKind::kNormal || kind == PieceKind::kUser;
    if (is_made && tokenizer.Piece(id) == kSpace) return true;
  }
  return false;
}

void CheckText(const Tokenizer& tokenizer, const std::string& text, bool parse_special) {
  const absl::StatusOr<std::vector<int32_t>> ids =
      tokenizer.Encode(text, {.parse_special = parse_special});
  Check(ids.ok(), "a text can be encoded", ids.status().message());
  for (const int32_t id : *ids) {
    Check(id >= 0 && id < tokenizer.vocabulary_size(), "an id is of the vocabulary");
    Check(parse_special || tokenizer.Kind(id) != PieceKind::kControl,
          "text makes no special token");
    Check(tokenizer.Kind(id) != PieceKind::kUnused, "no unused piece is made");
  }
  const absl::StatusOr<std::string> again = Decode(tokenizer, *ids, {.skip_control = false});
  Check(again.ok() && (HasSpace(tokenizer) ? *again : Spaced(*again)) == text,
        "a text is the same once it is decoded:", text);
}

// All pieces that text may be, one after another, and each by itself.
void CheckPieces(const Tokenizer& tokenizer) {
  std::string all;
  for (int32_t id = 0; id < std::min(tokenizer.vocabulary_size(), 256 + kMostPieces); ++id) {
    if (tokenizer.Kind(id) == PieceKind::kByte) continue;
    const std::string piece = Spaced(tokenizer.Piece(id));
    CheckText(tokenizer, piece, false);
    CheckText(tokenizer, piece, true);
    all += piece;
  }
  CheckText(tokenizer, all, false);
  CheckText(tokenizer, all, true);
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  // Aligned to 8, as Parse wants it, and not a byte longer.
  const std::unique_ptr<char[]> copy(new char[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), copy.get());
  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      BpeTokenizer::Parse({copy.get(), bytes.size()});
  if (!tokenizer.ok()) {
    CheckRefusal(tokenizer.status());
    return false;
  }
  const int32_t bos = (*tokenizer)->bos_id();
  Check(bos == -1 || (*tokenizer)->Kind(bos) == PieceKind::kControl, "BOS is a special token");
  CheckPieces(**tokenizer);
  CheckText(**tokenizer, std::string(kText, sizeof(kText) - 1), false);
  return true;
}

std::vector<std::string> Seeds() {
  TokenizerFileBuilder bytes_alone;
  TokenizerFileBuilder words;
  const std::string space(kSpace);
  const int32_t a = words.Add("a"), b = words.Add("b"), gap = words.Add(space);
  words.Add("\xC3\xA9");
  words.Merge(gap, a, words.Add(space + "a"));
  words.Merge(a, b, words.Add("ab"));
  words.Merge(gap, gap, words.Add(space + space, PieceKind::kUser));
  words.Merge(a, gap, words.Add("a" + space));
  words.bos = words.Add("<bos>", PieceKind::kControl);
  words.Add("<b>", PieceKind::kUser);
  words.Add("", PieceKind::kUnused);
  return {bytes_alone.Build(), words.Build()};
}

}  // namespace gemma::fuzzing
