// Whatever the bytes of a .pte, it is refused in a sentence, or every method is one of ours, has
// its plan within the file, and that plan, where it is accepted, has the method's inputs and
// outputs or is told apart from them.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "cc/delegate/testing/program_writer.h"
#include "cc/engine/program_check.h"
#include "cc/plan/plan_check.h"
#include "cc/plan/testing/tiny_model.h"

namespace gemma::fuzzing {
namespace {

void CheckMethod(const ProgramMethod& method, std::span<const std::byte> file) {
  Check(method.plan.data() >= file.data() &&
            method.plan.data() + method.plan.size() <= file.data() + file.size(),
        "a plan lies within its file:", method.name);
  for (const auto* tensors : {&method.inputs, &method.outputs}) {
    for (const ProgramTensor& tensor : *tensors) {
      for (const int32_t size : tensor.sizes)
        Check(size >= 0, "a size is not negative:", method.name);
    }
  }
  const absl::StatusOr<Plan> plan = ReadCheckedPlan(method.plan, method.name);
  if (!plan.ok()) return CheckRefusal(plan.status());
  const absl::Status signature = CheckSignature(method, *plan);
  if (!signature.ok()) CheckRefusal(signature);
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  // Aligned to 16, and not a byte longer.
  void* memory = nullptr;
  Check(posix_memalign(&memory, 16, bytes.size()) == 0, "there is memory");
  std::copy(bytes.begin(), bytes.end(), static_cast<char*>(memory));
  const std::span<const std::byte> file(static_cast<const std::byte*>(memory), bytes.size());
  const auto methods = CheckProgram(file);
  if (methods.ok()) {
    std::set<std::string> names;
    for (const ProgramMethod& method : *methods) {
      Check(names.insert(method.name).second, "a method is there once:", method.name);
      CheckMethod(method, file);
    }
  } else {
    CheckRefusal(methods.status());
  }
  std::free(memory);
  return methods.ok();
}

std::vector<std::string> Seeds() {
  const TinyModel model({.layers = 1, .full_every = 1, .vocab = 32});
  const TestMethod prefill = MakeTestMethod(model.MakePlan(PlanMethod::kPrefill));
  const TestMethod decode = MakeTestMethod(model.MakePlan(PlanMethod::kDecode));
  const TestMethod score = MakeTestMethod(model.MakePlan(PlanMethod::kScore));
  return {WriteProgram({decode, MakeConstantMethod("get_max_seq_len", {64})}),
          WriteProgram({prefill, decode, score, MakeConstantMethod("get_eos_ids", {1, 106}),
                        MakeConstantMethod("use_kv_cache", {1}, /*boolean=*/true)})};
}

}  // namespace gemma::fuzzing
