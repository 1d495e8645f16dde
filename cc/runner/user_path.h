// Paths that a user writes: relative ones start where the user stands, also under `bazel run`.
#ifndef CC_RUNNER_USER_PATH_H_
#define CC_RUNNER_USER_PATH_H_

#include <string>

namespace gemma {

std::string UserPath(const std::string& path);

}  // namespace gemma

#endif  // CC_RUNNER_USER_PATH_H_
