// Token ids to text: all at once (Decode) or as they come (StreamDecoder), as Hugging Face's
// `tokenizers` does it for Gemma. U+2581 becomes a space, byte pieces become the characters that
// they spell, bytes that spell none become U+FFFD, one each.
#ifndef CC_TEXT_DECODER_H_
#define CC_TEXT_DECODER_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "cc/text/tokenizer.h"

namespace gemma {

struct DecodeOptions {
  // Whether special tokens are left out; they are written as they are spelled otherwise.
  bool skip_control = true;
};

// InvalidArgument when an id is not in the vocabulary.
absl::StatusOr<std::string> Decode(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                                   const DecodeOptions& options);

// Text as the ids come. What Add returns is always whole characters: bytes of a character that is
// not complete yet are held back. The texts together are what Decode returns, but for one case:
// where bytes that spell characters are followed by bytes that do not, Decode writes U+FFFD for all
// of them, and the stream, which has written the characters already, only for the latter.
class StreamDecoder {
 public:
  // `tokenizer` must outlive this.
  StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options);

  // The text that `id` completes, often empty.
  // InvalidArgument when the id is not in the vocabulary.
  absl::StatusOr<std::string> Add(int32_t id);

  // Ends the text: U+FFFD for each byte held back.
  std::string Finish();

 private:
  std::string AddByte(char byte);

  const Tokenizer& tokenizer_;
  DecodeOptions options_;
  std::string held_;  // the beginning of a character
};

}  // namespace gemma

#endif  // CC_TEXT_DECODER_H_
