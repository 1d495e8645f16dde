// The program of an artifact folder (model.pte), read, verified and checked, with the plans of its
// methods. Loads no weights, so `runner inspect` uses it too.
#ifndef CC_ENGINE_ARTIFACT_PROGRAM_H_
#define CC_ENGINE_ARTIFACT_PROGRAM_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/base/host_memory.h"
#include "cc/engine/manifest.h"
#include "cc/plan/plan.h"

namespace gemma {

struct ArtifactProgram {
  HostMemory memory;
  std::vector<Plan> plans;  // one a method, in the program's order

  std::span<const std::byte> bytes() const { return {memory.data(), memory.size()}; }
};

// Errors name the file. The program's methods, their tensors, context and chunk are those that the
// manifest and docs/formats.md state.
absl::StatusOr<ArtifactProgram> ReadArtifactProgram(const std::string& folder,
                                                    const Manifest& manifest);

}  // namespace gemma

#endif  // CC_ENGINE_ARTIFACT_PROGRAM_H_
