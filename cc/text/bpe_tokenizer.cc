#include "cc/text/bpe_tokenizer.h"

#include <algorithm>
#include <cstddef>

#include "absl/container/flat_hash_map.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "cc/base/file.h"
#include "cc/base/status_macros.h"
#include "cc/text/utf8.h"

namespace gemma {
namespace {

constexpr char32_t kWrittenSpace = 0x2581;  // how pieces write a space
constexpr std::string_view kWrittenSpaceUtf8 = "\xE2\x96\x81";
constexpr char32_t kCodePoints = 0x110000;

// Symbols are counted in int32_t, and a byte of text makes at most three.
constexpr size_t kMaxTextBytes = size_t{1} << 29;

// Longer words hardly ever come twice.
constexpr size_t kMaxRememberedWord = 64;

absl::Status CheckText(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the text has ", text.size(), " bytes, more than the ", kMaxTextBytes, " allowed"));
  }
  const size_t valid = ValidUtf8Prefix(text);
  if (valid == text.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "the text is not valid UTF-8: no character begins with the byte 0x%02X at offset %d",
      static_cast<uint8_t>(text[valid]), valid));
}

// The character that ends just before text[at]. Requires at > 0 and valid text.
char32_t CodePointBefore(std::string_view text, size_t at) {
  do {
    --at;
  } while ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return DecodeCodePoint(text, at).value;
}

}  // namespace

// Encodes one text: words, each merged by itself and remembered, since words repeat.
class BpeTokenizer::Encoder {
 public:
  // `tokenizer` must outlive this, and every text given to it.
  explicit Encoder(const BpeTokenizer& tokenizer)
      : tokenizer_(tokenizer), merger_(*tokenizer.merges_) {}

  void AddId(int32_t id) { ids_.push_back(id); }

  // `text`: valid UTF-8 without added pieces.
  void AddText(std::string_view text) {
    size_t begin = 0;
    char32_t before = kWrittenSpace;
    for (size_t at = 0; at < text.size();) {
      CodePoint character = DecodeCodePoint(text, at);
      if (character.value == U' ') character.value = kWrittenSpace;
      if (character.value == kWrittenSpace && IsWordEnd(before)) {
        AddWord(text.substr(begin, at - begin));
        begin = at;
      }
      before = character.value;
      at += character.bytes;
    }
    AddWord(text.substr(begin));
  }

  std::vector<int32_t> TakeIds() { return std::move(ids_); }

 private:
  // Where the ids of a word are in ids_.
  struct Range {
    size_t begin;
    size_t count;
  };

  bool IsWordEnd(char32_t character) const {
    return character != kWrittenSpace && !tokenizer_.joins_.contains(character);
  }

  void AddWord(std::string_view word) {
    if (word.empty()) return;
    if (word.size() > kMaxRememberedWord) return AppendMerged(word);
    const auto [seen, is_new] =
        seen_.try_emplace(absl::string_view(word.data(), word.size()), Range{ids_.size(), 0});
    if (is_new) {
      AppendMerged(word);
      seen->second.count = ids_.size() - seen->second.begin;
      return;
    }
    const Range range = seen->second;
    ids_.resize(ids_.size() + range.count);
    std::copy_n(ids_.begin() + range.begin, range.count, ids_.end() - range.count);
  }

  void AppendMerged(std::string_view word) {
    symbols_.clear();
    for (size_t at = 0; at < word.size();) {
      const CodePoint character = DecodeCodePoint(word, at);
      AppendCharacter(
          character.value == U' ' ? kWrittenSpaceUtf8 : word.substr(at, character.bytes),
          character.value);
      at += character.bytes;
    }
    merger_.Merge(symbols_);
    ids_.insert(ids_.end(), symbols_.begin(), symbols_.end());
  }

  void AppendCharacter(std::string_view bytes, char32_t value) {
    if (const int32_t id = tokenizer_.character_ids_[value]; id != -1)
      return symbols_.push_back(id);
    for (const char byte : bytes) {
      symbols_.push_back(tokenizer_.vocabulary_.ByteId(static_cast<uint8_t>(byte)));
    }
  }

  const BpeTokenizer& tokenizer_;
  Merger merger_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> symbols_;
  // absl::string_view, because its hash is seeded: no text can be made whose words all collide.
  absl::flat_hash_map<absl::string_view, Range> seen_;
};

absl::StatusOr<std::unique_ptr<Tokenizer>> BpeTokenizer::Load(const std::string& path) {
  GEMMA_ASSIGN_OR_RETURN(const std::string file, ReadFile(path, kMaxTokenizerFileBytes));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Parse(file);
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(),
                      absl::StrCat(path, ": ", tokenizer.status().message()));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> BpeTokenizer::Parse(std::string_view file) {
  GEMMA_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Parse(file));
  std::unique_ptr<BpeTokenizer> tokenizer =
      absl::WrapUnique(new BpeTokenizer(std::move(vocabulary)));
  GEMMA_RETURN_IF_ERROR(tokenizer->BuildTables());
  return tokenizer;
}

absl::Status BpeTokenizer::BuildTables() {
  GEMMA_ASSIGN_OR_RETURN(added_, AddedPieces::Build(vocabulary_));
  merges_.emplace(vocabulary_);
  vocabulary_.ReleaseMerges();
  character_ids_.assign(kCodePoints, -1);
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const PieceKind kind = vocabulary_.Kind(id);
    if (kind != PieceKind::kNormal && kind != PieceKind::kUser) continue;
    GEMMA_RETURN_IF_ERROR(AddCharacterPiece(id));
    AddJoins(vocabulary_.Piece(id));
  }
  character_ids_[U' '] = character_ids_[kWrittenSpace];
  return absl::OkStatus();
}

absl::Status BpeTokenizer::AddCharacterPiece(int32_t id) {
  const std::string_view piece = vocabulary_.Piece(id);
  const CodePoint character = DecodeCodePoint(piece, 0);
  if (static_cast<size_t>(character.bytes) != piece.size()) return absl::OkStatus();
  int32_t& entry = character_ids_[character.value];
  if (entry != -1) {
    return absl::InvalidArgumentError(
        absl::StrCat("pieces ", entry, " and ", id, " are spelled alike"));
  }
  entry = id;
  return absl::OkStatus();
}

void BpeTokenizer::AddJoins(std::string_view piece) {
  for (size_t at = piece.find(kWrittenSpaceUtf8, 1); at != std::string_view::npos;
       at = piece.find(kWrittenSpaceUtf8, at + kWrittenSpaceUtf8.size())) {
    joins_.insert(CodePointBefore(piece, at));
  }
}

absl::StatusOr<std::vector<int32_t>> BpeTokenizer::Encode(std::string_view text,
                                                          const EncodeOptions& options) const {
  GEMMA_RETURN_IF_ERROR(CheckText(text));
  Encoder encoder(*this);
  size_t begin = 0;  // of the text that is not encoded yet
  for (size_t at = 0;;) {
    const AddedPieces::Match match = added_->FindNext(text, at);
    if (match.id == -1) break;
    at = match.begin + match.size;
    if (Kind(match.id) == PieceKind::kControl && !options.parse_special) continue;
    encoder.AddText(text.substr(begin, match.begin - begin));
    encoder.AddId(match.id);
    begin = at;
  }
  encoder.AddText(text.substr(begin));
  return encoder.TakeIds();
}

int32_t BpeTokenizer::ControlId(std::string_view piece) const {
  const int32_t id = added_->Find(piece);
  return id != -1 && Kind(id) == PieceKind::kControl ? id : -1;
}

}  // namespace gemma
