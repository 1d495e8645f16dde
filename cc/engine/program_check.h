// Whether a .pte file is what python/export makes: methods that are one call of GemmaDelegate each,
// with the tensors of docs/formats.md, beside them constant methods, and nothing else.
//
// ExecuTorch's own verification (Verification::InternalConsistency) proves that offsets stay within
// the file, but loading a method still follows pointers that may be absent: of 3,000 programs with
// flipped bits, 10 crashed it (1.5.1). Here everything that it will look at is looked at first, so
// that no file can.
#ifndef CC_ENGINE_PROGRAM_CHECK_H_
#define CC_ENGINE_PROGRAM_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/plan/plan.h"

namespace gemma {

struct ProgramTensor {
  bool floating = false;  // float32; else int64
  std::vector<int32_t> sizes;
  bool dynamic = false;  // sizes are upper bounds

  bool operator==(const ProgramTensor&) const = default;
};

struct ProgramMethod {
  std::string name;                 // prefill, decode or score
  std::span<const std::byte> plan;  // the delegate's payload, within the file's bytes
  std::vector<ProgramTensor> inputs;
  std::vector<ProgramTensor> outputs;
};

// The methods that run. `bytes`: the whole file, aligned to 16; it must outlive the result.
// InvalidArgument with one sentence that lacks only the file's name.
absl::StatusOr<std::vector<ProgramMethod>> CheckProgram(std::span<const std::byte> bytes);

// Whether the method has the inputs and outputs that docs/formats.md gives to the plan's method.
absl::Status CheckSignature(const ProgramMethod& method, const Plan& plan);

}  // namespace gemma

#endif  // CC_ENGINE_PROGRAM_CHECK_H_
