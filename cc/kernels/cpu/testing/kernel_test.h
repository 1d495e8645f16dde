// What the tests of the CPU kernels share.
#ifndef CC_KERNELS_CPU_TESTING_KERNEL_TEST_H_
#define CC_KERNELS_CPU_TESTING_KERNEL_TEST_H_

#include <string>
#include <utility>

#include "cc/kernels/cpu/kernels.h"
#include "cc/kernels/cpu/thread_pool.h"
#include "gtest/gtest.h"

namespace gemma::cpu {

// The parameter of a test that runs for every instruction set of this machine.
class KernelTest : public testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels() const { return *GetParam(); }
  std::string Named(const std::string& what) const {
    return what + ", " + std::string(IsaName(kernels().isa));
  }
};

inline std::string IsaTestName(const testing::TestParamInfo<const Kernels*>& info) {
  switch (info.param->isa) {
    case Isa::kPortable:
      return "Portable";
    case Isa::kAvx2:
      return "Avx2";
    case Isa::kAvx512:
      return "Avx512";
    case Isa::kAmx:
      return "Amx";
    case Isa::kTileModel:
      return "TileModel";
  }
  return "Unknown";
}

#define GEMMA_TEST_ALL_ISAS(suite) \
  INSTANTIATE_TEST_SUITE_P(All, suite, testing::ValuesIn(AvailableKernels()), IsaTestName)

inline Workspace TestWorkspace(const Workspace::Limits& limits) {
  auto workspace = Workspace::Create(limits);
  EXPECT_TRUE(workspace.ok()) << workspace.status();
  return *std::move(workspace);
}

// Runs every slice of `count` one after another, as threads would between two barriers.
template <typename Function>
void ForSlices(int count, Function function) {
  for (int i = 0; i < count; ++i) function(Slice{i, count});
}

}  // namespace gemma::cpu

#endif  // CC_KERNELS_CPU_TESTING_KERNEL_TEST_H_
