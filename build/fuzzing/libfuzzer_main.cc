// libFuzzer's way into a harness. With --write_seeds=FOLDER the program writes the harness's seeds
// and ends.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/string_view.h"
#include "build/fuzzing/harness.h"

namespace gemma::fuzzing {
namespace {

constexpr absl::string_view kWriteSeeds = "--write_seeds=";

void WriteSeeds(const std::string& folder) {
  int number = 0;
  for (const std::string& seed : Seeds()) {
    std::ofstream file(folder + "/seed_" + std::to_string(number++), std::ios::binary);
    file << seed;
    file.close();
    Check(file.good(), "seeds can be written to", folder);
  }
}

}  // namespace
}  // namespace gemma::fuzzing

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::string argument = (*argv)[i];
    if (!argument.starts_with(gemma::fuzzing::kWriteSeeds)) continue;
    gemma::fuzzing::WriteSeeds(argument.substr(gemma::fuzzing::kWriteSeeds.size()));
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gemma::fuzzing::Accepts({reinterpret_cast<const char*>(data), size});
  return 0;
}
