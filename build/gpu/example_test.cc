// Two tests that need a GPU to run, for skipped_tests_test.py.
#include <gtest/gtest.h>

namespace {

TEST(ExampleTest, RunsOnlyWithGpu) { SUCCEED(); }
TEST(ExampleTest, AnotherOne) { SUCCEED(); }

}  // namespace
