// The main function of tests that need a GPU. Bazel does not start them on a machine without one
// (gpu_test of build/cuda.bzl); where none can be used all the same, that is a failure: no test
// passes that did not run.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace {

// Empty when there is a GPU.
std::string MissingGpu() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return cudaGetErrorString(error);
  return count > 0 ? "" : "there is none";
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string missing = MissingGpu();
  if (!missing.empty()) {
    std::fprintf(stderr, "no GPU can be used: %s (skip: bazel test --@local_gpu//:present=false)\n",
                 missing.c_str());
    return 1;
  }
  return RUN_ALL_TESTS();
}
