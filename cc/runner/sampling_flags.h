// The flags that say how tokens are drawn. What is not given comes from the artifact's manifest.
#ifndef CC_RUNNER_SAMPLING_FLAGS_H_
#define CC_RUNNER_SAMPLING_FLAGS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cc/engine/manifest.h"

namespace gemma {

struct SamplingFlags {
  std::array<std::optional<double>, kSamplingFields.size()> given;  // in the fields' order
  std::optional<uint64_t> seed;
};

void AddSamplingFlags(CLI::App& parser, SamplingFlags& flags);

// Usage errors where CheckSampling refuses the flags; the artifact is not needed for that.
absl::Status CheckSamplingFlags(const SamplingFlags& flags);

// The manifest's parameters with the flags over them.
// Without --seed, a new seed is drawn from the system.
SamplingParams ResolveSampling(const SamplingFlags& flags, const Manifest& manifest);

// The line that lets a text be repeated; empty for the argmax, which needs no seed.
std::string DescribeSeed(const SamplingParams& params);

}  // namespace gemma

#endif  // CC_RUNNER_SAMPLING_FLAGS_H_
