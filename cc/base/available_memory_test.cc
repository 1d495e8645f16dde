#include "cc/base/available_memory.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace gemma {
namespace {

class AvailableMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    Write("proc/meminfo", "MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:  8000 kB\n");
  }

  void Write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  uint64_t Available() const {
    return AvailableMemory((root_ / "proc").string(), (root_ / "cgroup").string());
  }

  std::filesystem::path root_;
};

TEST_F(AvailableMemoryTest, IsTheMachinesWithoutALimit) {
  EXPECT_EQ(Available(), 8000 * 1024u);
  Write("proc/self/cgroup", "0::/\n");
  Write("cgroup/memory.max", "max\n");
  Write("cgroup/memory.current", "1000\n");
  EXPECT_EQ(Available(), 8000 * 1024u);
}

TEST_F(AvailableMemoryTest, AContainersLimitCountsAndItsPageCacheIsFree) {
  Write("proc/self/cgroup", "0::/\n");
  Write("cgroup/memory.max", "1000000\n");
  Write("cgroup/memory.current", "700000\n");
  Write("cgroup/memory.stat", "anon 5\ninactive_file 100000\nactive_file 50000\n");
  EXPECT_EQ(Available(), 450000u);
}

TEST_F(AvailableMemoryTest, TheTightestOfTheGroupsAboveDecides) {
  Write("proc/self/cgroup", "0::/user/job\n");
  Write("cgroup/user/memory.max", "5000\n");
  Write("cgroup/user/memory.current", "4000\n");
  Write("cgroup/user/job/memory.max", "3000\n");
  Write("cgroup/user/job/memory.current", "100\n");
  EXPECT_EQ(Available(), 1000u);
}

TEST_F(AvailableMemoryTest, TheFirstVersionOfCgroupsIsReadToo) {
  Write("cgroup/memory/memory.limit_in_bytes", "2000\n");
  Write("cgroup/memory/memory.usage_in_bytes", "3000\n");
  EXPECT_EQ(Available(), 0u);
  Write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Available(), 8000 * 1024u);
}

}  // namespace
}  // namespace gemma
