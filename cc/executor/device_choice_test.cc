#include "cc/executor/device_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace gemma {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The tests hide what GPUs there are (BUILD.bazel).
TEST(DeviceChoiceTest, AutoFallsBackToTheCpuAndSaysWhy) {
  const ChosenExecutor chosen = *MakeExecutor(DeviceChoice::kAuto, 1);
  EXPECT_THAT(chosen.executor->Description(), StartsWith("CPU ("));
  EXPECT_THAT(chosen.reason, StartsWith("no GPU can be used ("));
}

TEST(DeviceChoiceTest, TheCpuNeedsNoReason) {
  const ChosenExecutor chosen = *MakeExecutor(DeviceChoice::kCpu, 1);
  EXPECT_THAT(chosen.executor->Description(), StartsWith("CPU ("));
  EXPECT_EQ(chosen.reason, "");
}

TEST(DeviceChoiceTest, CudaWithoutGpuIsAnError) {
  const auto chosen = MakeExecutor(DeviceChoice::kCuda, 1);
  EXPECT_THAT(std::string(chosen.status().message()), HasSubstr("(use --device cpu)"));
}

}  // namespace
}  // namespace gemma
