#include "cc/runner/user_path.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(UserPath, StartsWhereBazelRunWasCalled) {
  setenv("BUILD_WORKING_DIRECTORY", "/home/ada", 1);
  EXPECT_EQ(UserPath("model"), "/home/ada/model");
  EXPECT_EQ(UserPath("/models/a"), "/models/a");
}

TEST(UserPath, StaysAsItIsElsewhere) {
  unsetenv("BUILD_WORKING_DIRECTORY");
  EXPECT_EQ(UserPath("model"), "model");
}

}  // namespace
}  // namespace gemma
