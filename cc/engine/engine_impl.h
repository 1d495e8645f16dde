// Loads an artifact folder (docs/formats.md) and runs it through ExecuTorch.
//
// Nothing of the folder is believed: the manifest is read strictly; sizes and digests of the
// program and the tokenizer are compared before either is looked at, that of the weights while they
// are read; the program and its plans are checked (program_check.h, plan_check.h) before ExecuTorch
// sees them; and all of them must agree.
#ifndef CC_ENGINE_ENGINE_IMPL_H_
#define CC_ENGINE_ENGINE_IMPL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cc/engine/artifact_description.h"
#include "cc/engine/engine.h"
#include "cc/executor/device_choice.h"
#include "cc/executor/executor.h"

namespace gemma {

struct EngineOptions {
  DeviceChoice device = DeviceChoice::kAuto;
  int threads = 0;  // of the CPU; 0: one for each that this process may use
  // Weights that the folder's files lack are random (random_weights.h) instead of an error.
  bool random_weights = false;
  // Called with a line for people: the device and why it is that one, the memory about to be taken.
  std::function<void(const std::string&)> report = {};
  // Called while weights are read, with the bytes done and the bytes to do.
  std::function<void(uint64_t, uint64_t)> progress = {};
};

// What an artifact would take, without taking it.
struct MemoryEstimate {
  std::string device;  // and why, where nobody asked for it
  ExecutorMemory memory;
};
absl::StatusOr<MemoryEstimate> EstimateMemory(const std::string& folder,
                                              const EngineOptions& options);

// Reads and checks all that LoadEngine does, on the CPU, but for the weights' bytes: what is
// refused here is refused there in the same words, and the reverse. `random_weights` as in
// EngineOptions.
absl::StatusOr<ArtifactDescription> DescribeArtifact(const std::string& folder,
                                                     bool random_weights);

// "weights 18.25 GB, activations 0.31 GB, ..."
std::string FormatMemory(const ExecutorMemory& memory);

// Errors are one sentence that names the file.
absl::StatusOr<std::unique_ptr<Engine>> LoadEngine(const std::string& folder,
                                                   const EngineOptions& options);

}  // namespace gemma

#endif  // CC_ENGINE_ENGINE_IMPL_H_
