// The flags that every subcommand with a model has: which artifact, on which device, with how many
// threads, and how much is told meanwhile.
#ifndef CC_RUNNER_MODEL_FLAGS_H_
#define CC_RUNNER_MODEL_FLAGS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/engine/engine.h"

namespace gemma {

struct ModelFlags {
  std::string model;            // --model, the artifact folder
  std::string device = "auto";  // --device
  std::optional<int> threads;   // --threads; none or 0: one for each CPU
  int64_t prefill_chunk = 0;    // --prefill_chunk; 0: the artifact's maximum
  bool random_weights = false;  // --random_weights
  bool quiet = false;           // --quiet
};

void AddModelFlags(CLI::App& parser, ModelFlags& flags);

// One line for people on stderr, or nothing with --quiet. Errors are not notes.
void Note(const ModelFlags& flags, const std::string& line);

// Loads the artifact. Notes what it runs on, and how far it is when that takes more than a second.
// `check` is called with an engine that has everything but its weights: what can be said about the
// call by then is said before they are read. --prefill_chunk is checked there too.
absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(
    const ModelFlags& flags, const std::function<absl::Status(const Engine&)>& check);

// What the artifact would take of which device, and whether it fits, on stdout; ResourceExhausted
// where it does not.
absl::Status PrintMemoryEstimate(const ModelFlags& flags);

// A session with the flags' chunk that Ctrl-C stops.
absl::StatusOr<std::unique_ptr<Session>> OpenSession(Engine& engine, const ModelFlags& flags);

}  // namespace gemma

#endif  // CC_RUNNER_MODEL_FLAGS_H_
