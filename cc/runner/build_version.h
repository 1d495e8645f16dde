// Which build this is.
#ifndef CC_RUNNER_BUILD_VERSION_H_
#define CC_RUNNER_BUILD_VERSION_H_

#include <string>

namespace gemma {

extern const char kBuildCommit[];        // "2a99c9b1d0c5", with "-dirty"; empty: not stamped
extern const char kExecuTorchVersion[];  // "1.5.1"

// "0.1.0, commit 2a99c9b1d0c5, ExecuTorch 1.5.1, CUDA 13.0".
std::string BuildVersion();

}  // namespace gemma

#endif  // CC_RUNNER_BUILD_VERSION_H_
