#include "cc/runner/prompt_progress.h"

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(PromptProgressLine, IsWrittenOverAndTakenAway) {
  PromptProgressLine line;
  EXPECT_EQ(line.Report(0, 2000, 0), "prompt: 0 of 2000 tokens, 0 s");
  EXPECT_EQ(line.Report(512, 2000, 1.6),
            "\r" + std::string(29, ' ') + "\rprompt: 512 of 2000 tokens, 2 s");
  EXPECT_EQ(line.Report(2000, 2000, 3), "\r" + std::string(31, ' ') + "\r");
  EXPECT_EQ(line.Report(0, 600, 0), "prompt: 0 of 600 tokens, 0 s");
}

TEST(PromptProgressLine, AShortPromptHasNone) {
  PromptProgressLine line;
  EXPECT_EQ(line.Report(0, 511, 0), "");
  EXPECT_EQ(line.Report(511, 511, 9), "");
}

}  // namespace
}  // namespace gemma
