// Writes .pte files (ExecuTorch programs) whose methods are one delegate call each, as
// python/export makes them; or wrong ones, as a test wants.
#ifndef CC_DELEGATE_TESTING_PROGRAM_WRITER_H_
#define CC_DELEGATE_TESTING_PROGRAM_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/plan/plan.h"

namespace gemma {

struct TestTensorSpec {
  bool floating = false;  // float32 instead of int64
  std::vector<int32_t> sizes;
  bool dynamic = false;  // the sizes are upper bounds
};

struct TestMethod {
  std::string name;
  std::string delegate_id = "GemmaDelegate";
  std::string payload;
  std::vector<TestTensorSpec> inputs;
  std::vector<TestTensorSpec> outputs;
  int calls = 1;  // of the delegate
  // A method that returns these and does nothing else, where there are any.
  std::vector<int64_t> constants;
  bool boolean = false;  // the constants are booleans
};

// The method that docs/formats.md describes for the plan.
TestMethod MakeTestMethod(const Plan& plan);

TestMethod MakeConstantMethod(const std::string& name, const std::vector<int64_t>& constants,
                              bool boolean = false);

std::string WriteProgram(const std::vector<TestMethod>& methods);

}  // namespace gemma

#endif  // CC_DELEGATE_TESTING_PROGRAM_WRITER_H_
