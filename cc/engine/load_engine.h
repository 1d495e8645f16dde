// Loads an artifact folder (docs/formats.md) and runs it through ExecuTorch.
//
// Nothing of the folder is believed: the manifest is read strictly; sizes and digests of the
// program and the tokenizer are compared before either is looked at, that of the weights while they
// are read; the program and its plans are checked (program_check.h, plan_check.h) before ExecuTorch
// sees them; and all of them must agree.
#ifndef CC_ENGINE_LOAD_ENGINE_H_
#define CC_ENGINE_LOAD_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/engine/artifact_description.h"
#include "cc/engine/device_choice.h"
#include "cc/engine/engine.h"
#include "cc/executor/executor.h"

namespace gemma {

struct EngineOptions {
  DeviceChoice device = DeviceChoice::kAuto;
  int threads = 0;  // of the CPU; 0: one for each that this process may use
  // Weights that the folder's files lack are random (random_weights.h) instead of an error.
  bool random_weights = false;
  // Called once all but the weights is loaded, so with an engine that has no sessions yet; an error
  // ends the load before it takes memory or time. For what can be said about a call by then.
  std::function<absl::Status(const Engine&)> check = {};
  // Called with a line for people: the device and why it is that one, the memory about to be taken.
  std::function<void(const std::string&)> report = {};
  // Called while weights are read, with the bytes done and the bytes to do.
  std::function<void(uint64_t, uint64_t)> progress = {};
};

// What an artifact would take, without taking it.
struct MemoryEstimate {
  std::string device;  // and why, where nobody asked for it
  ExecutorMemory memory;
  int64_t max_seq_len = 0;  // positions of a session
};
absl::StatusOr<MemoryEstimate> EstimateMemory(const std::string& folder,
                                              const EngineOptions& options);

// Reads and checks all that LoadEngine does, on the CPU, but for the weights' bytes: what is
// refused here is refused there in the same words, and the reverse. `random_weights` as in
// EngineOptions.
absl::StatusOr<ArtifactDescription> DescribeArtifact(const std::string& folder,
                                                     bool random_weights);

// What DescribeArtifact or reading the weights' bytes would refuse, without memory for them; empty
// for a good artifact. Goes on after a problem, as far as the rest can be judged.
std::vector<absl::Status> FindProblems(const std::string& folder, bool random_weights);

// "weights 17.9 GB, activations 310 MB, ..."
std::string FormatMemory(const ExecutorMemory& memory);

// ResourceExhausted, with both numbers and the remedy, when the model cannot fit what is free.
absl::Status CheckFits(const ExecutorMemory& memory);

// Errors are one sentence that names the file.
absl::StatusOr<std::unique_ptr<Engine>> LoadEngine(const std::string& folder,
                                                   const EngineOptions& options);

}  // namespace gemma

#endif  // CC_ENGINE_LOAD_ENGINE_H_
