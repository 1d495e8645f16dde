#include "cc/base/status_macros.h"

#include <memory>

#include "gtest/gtest.h"

namespace gemma {
namespace {

absl::StatusOr<std::unique_ptr<int>> Positive(int value) {
  if (value <= 0) return absl::InvalidArgumentError("not positive");
  return std::make_unique<int>(value);
}

absl::Status CheckPositive(int value) { return Positive(value).status(); }

absl::StatusOr<int> Sum(int a, int b) {
  GEMMA_RETURN_IF_ERROR(CheckPositive(a));
  GEMMA_ASSIGN_OR_RETURN(const std::unique_ptr<int> first, Positive(a));
  int second = 0;
  GEMMA_ASSIGN_OR_RETURN(second, [&]() -> absl::StatusOr<int> { return *Positive(b).value(); }());
  return *first + second;
}

TEST(StatusMacrosTest, PassesValuesOn) { EXPECT_EQ(*Sum(2, 3), 5); }

TEST(StatusMacrosTest, ReturnsTheFirstError) {
  EXPECT_EQ(Sum(0, 3).status(), absl::InvalidArgumentError("not positive"));
}

}  // namespace
}  // namespace gemma
