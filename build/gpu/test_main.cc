// The main function of tests that need a GPU. Without one every test is skipped, each by itself, so
// that the report counts what did not run; with GEMMA_REQUIRE_GPU=1, on a machine that must have
// one, that is a failure.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

// Empty when there is a GPU.
std::string MissingGpu() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return cudaGetErrorString(error);
  return count > 0 ? "" : "there is none";
}

class SkipEveryTest final : public testing::EmptyTestEventListener {
 public:
  explicit SkipEveryTest(std::string reason) : reason_(std::move(reason)) {}

  // A skip in a global environment would leave the tests "completed" in the report.
  void OnTestStart(const testing::TestInfo&) override { GTEST_SKIP() << "no GPU: " << reason_; }

 private:
  const std::string reason_;
};

bool GpuIsRequired() {
  const char* required = std::getenv("GEMMA_REQUIRE_GPU");
  return required != nullptr && std::strcmp(required, "1") == 0;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string missing = MissingGpu();
  if (!missing.empty() && GpuIsRequired()) {
    std::fprintf(stderr, "GEMMA_REQUIRE_GPU=1, but no GPU can be used: %s\n", missing.c_str());
    return 1;
  }
  if (!missing.empty()) {
    testing::UnitTest::GetInstance()->listeners().Append(new SkipEveryTest(missing));
  }
  return RUN_ALL_TESTS();
}
