// FakeTokenizer: a tokenizer for tests whose ids can be read off the text. Special tokens have the
// ids 0, 1, ... in the order given; every byte b of the rest is the token specials.size() + b.
//
//   FakeTokenizer tokenizer({"<bos>", "<eos>"});          // bos_id() is 0: the first is <bos>
//   tokenizer.Encode("A<eos>", {.parse_special = true});  // {2 + 'A', 1}
#ifndef CC_TEXT_FAKE_TOKENIZER_H_
#define CC_TEXT_FAKE_TOKENIZER_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/text/tokenizer.h"
#include "cc/text/utf8.h"

namespace gemma {

class FakeTokenizer : public Tokenizer {
 public:
  explicit FakeTokenizer(std::vector<std::string> specials) : pieces_(std::move(specials)) {
    specials_ = static_cast<int32_t>(pieces_.size());
    constexpr std::string_view kHex = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; ++byte) {
      pieces_.push_back({'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'});
    }
  }

  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text,
                                              const EncodeOptions& options) const override {
    if (ValidUtf8Prefix(text) != text.size())
      return absl::InvalidArgumentError("the text is not valid UTF-8");
    std::vector<int32_t> ids;
    while (!text.empty()) {
      const int32_t special = options.parse_special ? LeadingSpecial(text) : -1;
      ids.push_back(special >= 0 ? special : specials_ + static_cast<uint8_t>(text[0]));
      text.remove_prefix(special >= 0 ? pieces_[special].size() : 1);
    }
    return ids;
  }

  int32_t vocabulary_size() const override { return static_cast<int32_t>(pieces_.size()); }
  int32_t bos_id() const override { return pieces_[0] == "<bos>" ? 0 : -1; }
  std::string_view Piece(int32_t id) const override { return pieces_[id]; }
  PieceKind Kind(int32_t id) const override {
    return id < specials_ ? PieceKind::kControl : PieceKind::kByte;
  }

  int32_t ControlId(std::string_view piece) const override {
    for (int32_t id = 0; id < specials_; ++id) {
      if (pieces_[id] == piece) return id;
    }
    return -1;
  }

 private:
  int32_t LeadingSpecial(std::string_view text) const {
    for (int32_t id = 0; id < specials_; ++id) {
      if (text.substr(0, pieces_[id].size()) == pieces_[id]) return id;
    }
    return -1;
  }

  std::vector<std::string> pieces_;
  int32_t specials_ = 0;
};

}  // namespace gemma

#endif  // CC_TEXT_FAKE_TOKENIZER_H_
