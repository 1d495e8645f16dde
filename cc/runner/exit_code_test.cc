#include "cc/runner/exit_code.h"

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(ExitCode, TellsFailuresUsageErrorsAndInterruptionsApart) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCode(absl::InternalError("broken")), 1);
  EXPECT_EQ(ExitCode(absl::InvalidArgumentError("a bad file")), 1);
  EXPECT_EQ(ExitCode(UsageError("a bad flag")), 2);
  EXPECT_EQ(ExitCode(absl::CancelledError("interrupted")), 130);
}

TEST(ExitCode, AUsageErrorKeepsItsSentence) {
  EXPECT_EQ(UsageError("--top_k -1 is negative").message(), "--top_k -1 is negative");
}

}  // namespace
}  // namespace gemma
