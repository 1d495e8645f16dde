#include "cc/kernels/cpu/kernels.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace gemma::cpu {
namespace {

TEST(KernelsTest, ThePortableOnesComeFirstAndTheBestLast) {
  const std::vector<const Kernels*> available = AvailableKernels();
  ASSERT_FALSE(available.empty());
  EXPECT_EQ(available.front()->isa, Isa::kPortable);
  EXPECT_EQ(available.back(), &BestKernels());
}

TEST(KernelsTest, ReadEveryNumberOnce) {
  std::vector<float> numbers(4 * 128);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  for (const Kernels* kernels : AvailableKernels()) {
    EXPECT_EQ(kernels->read(numbers.data(), std::ssize(numbers)), 511 * 512 / 2);
    EXPECT_EQ(kernels->read(numbers.data(), 0), 0);
  }
}

TEST(WorkspaceTest, TakesWhatItSays) {
  const Workspace::Limits limits{.threads = 2,
                                 .max_tokens = 512,
                                 .max_columns = 21504,
                                 .max_heads = 32,
                                 .max_head_dim = 512,
                                 .max_vocab = 262144};
  const auto bytes = Workspace::Bytes(limits);
  ASSERT_TRUE(bytes.ok());
  EXPECT_GT(*bytes, 512u * 21504 * 6);
  EXPECT_LT(*bytes, 80u << 20);
  const auto workspace = Workspace::Create(limits);
  ASSERT_TRUE(workspace.ok());
  EXPECT_GE(workspace->thread_scratch(1) - workspace->thread_scratch(0), 12 * 21504);
}

TEST(WorkspaceTest, RefusesLimitsInASentence) {
  EXPECT_EQ(Workspace::Bytes({.max_tokens = 0}).status().message(),
            "a limit of the workspace is 0, not positive");
  EXPECT_EQ(Workspace::Bytes({.max_head_dim = 513}).status().message(),
            "head size 513 is larger than the 512 that attention supports");
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Workspace::Bytes({.max_tokens = kHuge, .max_columns = kHuge}).status().code(),
            absl::StatusCode::kOutOfRange);
  const absl::Status status =
      Workspace::Create({.max_tokens = 1 << 30, .max_columns = 1 << 22}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

}  // namespace
}  // namespace gemma::cpu
