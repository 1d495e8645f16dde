// Two tests that need a GPU to run, for test_main_test.py.
#include <gtest/gtest.h>

namespace {

TEST(ExampleTest, RunsOnlyWithGpu) { SUCCEED(); }
TEST(ExampleTest, AnotherOne) { SUCCEED(); }

}  // namespace
