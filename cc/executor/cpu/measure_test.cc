#include "cc/executor/cpu/measure.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace gemma {
namespace {

constexpr uint64_t kMega = 1 << 20;

TEST(BytesToReadTest, AreFarMoreThanTheCaches) {
  EXPECT_EQ(*BytesToRead(0, 1024 * kMega), 256 * kMega);
  EXPECT_EQ(*BytesToRead(32 * kMega, 1024 * kMega), 256 * kMega);
  EXPECT_EQ(*BytesToRead(300 * kMega, 4096 * kMega), 1200 * kMega);
}

TEST(BytesToReadTest, LeaveHalfOfTheFreeMemory) {
  EXPECT_TRUE(BytesToRead(0, 512 * kMega).ok());
  const absl::Status status = BytesToRead(0, 512 * kMega - 2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "measuring how fast memory is read takes 268435456 bytes, and 536870910 are free, of "
            "which half may be taken (end other programs)");
}

// Bytes that one level of caches may hold: the figure is no memory's, but one that a machine can
// have. It must not depend on the clock's steps alone.
TEST(MeasureReadBandwidthTest, IsWhatAMachineCanHave) {
  for (const int threads : {1, 2}) {
    const auto pool = cpu::ThreadPool::Create(threads);
    ASSERT_TRUE(pool.ok());
    for (const cpu::Kernels* kernels : cpu::AvailableKernels()) {
      const absl::StatusOr<double> speed = MeasureReadBandwidth(*kernels, **pool, 16 * kMega);
      ASSERT_TRUE(speed.ok()) << speed.status();
      std::printf("%s, %d threads: %.1f GB/s of 16 MiB\n",
                  std::string(cpu::IsaName(kernels->isa)).c_str(), threads, *speed / 1e9);
      EXPECT_GT(*speed, 1e8);
      EXPECT_LT(*speed, 1e13);
    }
  }
}

TEST(LastCacheBytesTest, IsASizeOfCachesInBytes) {
  const uint64_t bytes = LastCacheBytes();
  if (bytes == 0) GTEST_SKIP() << "this machine does not tell its caches' sizes";
  EXPECT_GE(bytes, kMega / 8);
  EXPECT_LT(bytes, 16384 * kMega);
}

}  // namespace
}  // namespace gemma
