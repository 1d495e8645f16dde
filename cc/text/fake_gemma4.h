// A small tokenizer with Gemma 4's special tokens, and Gemma 4's template on it: for tests of what
// reads answers.
#ifndef CC_TEXT_FAKE_GEMMA4_H_
#define CC_TEXT_FAKE_GEMMA4_H_

#include <string>
#include <vector>

#include "cc/text/chat_template.h"
#include "cc/text/fake_tokenizer.h"

namespace gemma {

// The special tokens, by id.
inline const std::vector<std::string> kFakeSpecials = {
    "<bos>",      "<|turn>",      "<turn|>",      "<|think|>",        "<|channel>",
    "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
    "<|\"|>"};

inline const FakeTokenizer& TheTokenizer() {
  static const auto& tokenizer = *new FakeTokenizer(kFakeSpecials);
  return tokenizer;
}

inline const ChatTemplate& Gemma4() {
  static const auto& chat = *new ChatTemplate(*ChatTemplate::Create("gemma4", TheTokenizer()));
  return chat;
}

}  // namespace gemma

#endif  // CC_TEXT_FAKE_GEMMA4_H_
