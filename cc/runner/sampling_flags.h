// The flags that say how tokens are drawn. What is not given comes from the artifact's manifest.
#ifndef CC_RUNNER_SAMPLING_FLAGS_H_
#define CC_RUNNER_SAMPLING_FLAGS_H_

#include <cstdint>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cc/engine/manifest.h"
#include "cc/engine/sampling_params.h"

namespace gemma {

struct SamplingFlags {
  std::optional<double> temperature;
  std::optional<int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<uint64_t> seed;
};

void AddSamplingFlags(CLI::App& parser, SamplingFlags& flags);

// Usage errors where Validate refuses the flags; the artifact is not needed for that.
absl::Status CheckSamplingFlags(const SamplingFlags& flags);

// The manifest's parameters with the flags over them. Without --seed, a new seed is drawn from the system.
SamplingParams ResolveSampling(const SamplingFlags& flags, const Manifest& manifest);

}  // namespace gemma

#endif  // CC_RUNNER_SAMPLING_FLAGS_H_
