#include "cc/runner/bench_lengths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cc/runner/exit_code.h"

namespace gemma {
namespace {

using ::testing::ElementsAre;

TEST(FitLengths, ChangesNothingWhereAllFits) {
  BenchLengths lengths;
  EXPECT_EQ(*FitLengths(512, lengths), "");
  EXPECT_THAT(lengths.prefill, ElementsAre(512));
}

TEST(FitLengths, ShortensDefaultsAndSaysSo) {
  BenchLengths lengths = {.depth = {0, 240}};
  EXPECT_EQ(*FitLengths(256, lengths),
            "measuring --prefill 16, --decode 16, since the context of this artifact ends at 256");
  EXPECT_THAT(lengths.prefill, ElementsAre(16));
  EXPECT_THAT(lengths.decode, ElementsAre(16));
}

TEST(FitLengths, RefusesWhatWasAskedForAndDoesNotFit) {
  BenchLengths lengths = {.prefill = {64, 300}, .prefill_given = true};
  const absl::Status status = FitLengths(256, lengths).status();
  EXPECT_EQ(ExitCode(status), kExitUsage);
  EXPECT_EQ(status.message(),
            "--prefill 300 at --depth 0 needs 300 positions, but the context of this artifact ends "
            "at 256 (use at most 256)");
  lengths = {.depth = {0, 300}};
  EXPECT_EQ(FitLengths(256, lengths).status().message(),
            "--depth 300 leaves no room in this artifact's context of 256 positions (use at most "
            "255)");
}

}  // namespace
}  // namespace gemma
