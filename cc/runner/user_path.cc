#include "cc/runner/user_path.h"

#include <cstdlib>
#include <filesystem>

namespace gemma {

std::string UserPath(const std::string& path) {
  const char* folder = std::getenv("BUILD_WORKING_DIRECTORY");
  return folder == nullptr ? path : (std::filesystem::path(folder) / path).string();
}

}  // namespace gemma
