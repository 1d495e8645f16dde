#include "cc/runner/build_version.h"

#include "absl/strings/str_cat.h"
#include "cc/base/version.h"
#include "cc/engine/describe_machine.h"

namespace gemma {

std::string BuildVersion() {
  const std::string commit = *kBuildCommit == 0
                                 ? "unstamped (--config=stamp builds with the commit)"
                                 : absl::StrCat("commit ", kBuildCommit);
  return absl::StrCat(kVersion, ", ", commit, ", ExecuTorch ", kExecuTorchVersion, ", CUDA ",
                      BuiltWithCuda());
}

}  // namespace gemma
