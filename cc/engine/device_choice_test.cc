#include "cc/engine/device_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace gemma {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// The tests hide what GPUs there are (BUILD.bazel).
TEST(DeviceChoiceTest, AutoFallsBackToTheCpuAndSaysWhy) {
  const ChosenExecutor chosen = *MakeExecutor(DeviceChoice::kAuto, {.threads = 1});
  EXPECT_THAT(chosen.executor->Description(), StartsWith("CPU ("));
  EXPECT_THAT(chosen.reason, AnyOf("this machine has no NVIDIA driver", HasSubstr("a GPU")));
}

TEST(DeviceChoiceTest, TheCpuNeedsNoReason) {
  const ChosenExecutor chosen = *MakeExecutor(DeviceChoice::kCpu, {.threads = 1});
  EXPECT_THAT(chosen.executor->Description(), StartsWith("CPU ("));
  EXPECT_EQ(chosen.reason, "");
}

TEST(DeviceChoiceTest, CudaWithoutGpuIsAnError) {
  const auto chosen = MakeExecutor(DeviceChoice::kCuda, {.threads = 1});
  EXPECT_THAT(std::string(chosen.status().message()), HasSubstr("(use --device cpu)"));
}

}  // namespace
}  // namespace gemma
