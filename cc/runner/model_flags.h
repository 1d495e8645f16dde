// The flags that every subcommand with a model has: which artifact, on which device, with how many
// threads.
#ifndef CC_RUNNER_MODEL_FLAGS_H_
#define CC_RUNNER_MODEL_FLAGS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"

namespace gemma {

struct ModelFlags {
  std::string model;            // --model, the artifact folder
  std::string device = "auto";  // --device
  int threads = 0;              // --threads; 0: one for each CPU
  int64_t prefill_chunk = 0;    // --prefill_chunk; 0: the artifact's maximum
  bool random_weights = false;  // --random_weights
};

void AddModelFlags(CLI::App& parser, ModelFlags& flags);

// Relative paths start where the user stands, also under `bazel run`.
std::string UserPath(const std::string& path);

// Loads the artifact; tells stderr what it runs on, and how far it is when that takes more than a
// second.
absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const ModelFlags& flags);

// What the artifact would take of which device, on stdout.
absl::Status PrintMemoryPlan(const ModelFlags& flags);

// A session with the flags' chunk that Ctrl-C stops.
absl::StatusOr<std::unique_ptr<Session>> OpenSession(Engine& engine, const ModelFlags& flags);

}  // namespace gemma

#endif  // CC_RUNNER_MODEL_FLAGS_H_
