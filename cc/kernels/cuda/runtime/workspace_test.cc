#include "cc/kernels/cuda/runtime/workspace.h"

#include <cstdint>
#include <cstring>

#include "gtest/gtest.h"

namespace gemma::cuda {
namespace {

constexpr Region kSums{"sums", 1000, false};
constexpr Region kFlags{"flags", 12, true};

TEST(WorkspaceTest, OfEqualNamesTheLargerStays) {
  Regions regions{kSums, kFlags};
  AddRegions({{"sums", 500, false}, {"flags", 40, true}, {"more", 8, false}}, regions);
  EXPECT_EQ(regions, (Regions{kSums, {"flags", 40, true}, {"more", 8, false}}));
}

TEST(WorkspaceTest, RegionsAreAlignedApartAndCountedInBytes) {
  auto workspace = Workspace::Create({kSums, kFlags}, nullptr);
  ASSERT_TRUE(workspace.ok());
  auto* const sums = *workspace->Find<std::byte>(kSums);
  auto* const flags = *workspace->Find<std::byte>(kFlags);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(sums) % 256, 0u);
  EXPECT_EQ(flags - sums, 1024);
  EXPECT_EQ(Workspace::Bytes({kSums, kFlags}), 1024u + 256);
}

TEST(WorkspaceTest, ClearZeroesAgainWhatIsZeroed) {
  auto workspace = Workspace::Create({kSums, kFlags}, nullptr);
  ASSERT_TRUE(workspace.ok());
  auto* const flags = *workspace->Find<uint32_t>(kFlags);
  for (int round = 0; round < 2; ++round) {
    uint32_t read[3] = {1, 2, 3};
    ASSERT_EQ(cudaMemcpy(read, flags, sizeof(read), cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_EQ(read[0] | read[1] | read[2], 0u);
    ASSERT_EQ(cudaMemset(flags, 7, sizeof(read)), cudaSuccess);
    ASSERT_TRUE(workspace->Clear(nullptr).ok());
  }
}

TEST(WorkspaceTest, WhatIsMissingIsNamed) {
  auto workspace = Workspace::Create({kSums}, nullptr);
  ASSERT_TRUE(workspace.ok());
  EXPECT_EQ(*workspace->Find<float>({"flags", 0, true}), nullptr);
  EXPECT_EQ(workspace->Find<float>(kFlags).status().message(),
            "flags need 12 bytes of scratch memory, but there are 0 (make the workspace with the "
            "operation's regions)");
  EXPECT_EQ(workspace->Find<float>({"sums", 1001, false}).status().message(),
            "sums need 1001 bytes of scratch memory, but there are 1000 (make the workspace with "
            "the operation's regions)");
}

TEST(WorkspaceTest, TurnsGrow) {
  auto workspace = Workspace::Create({}, nullptr);
  ASSERT_TRUE(workspace.ok());
  EXPECT_EQ(workspace->NextTurn(), 0u);
  EXPECT_EQ(workspace->NextTurn(), 1u);
}

}  // namespace
}  // namespace gemma::cuda
