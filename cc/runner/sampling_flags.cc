#include "cc/runner/sampling_flags.h"

#include <random>

#include "cc/runner/exit_code.h"

namespace gemma {
namespace {

SamplingParams Override(SamplingParams params, const SamplingFlags& flags) {
  params.temperature = flags.temperature.value_or(params.temperature);
  params.top_k = flags.top_k.value_or(params.top_k);
  params.top_p = flags.top_p.value_or(params.top_p);
  params.min_p = flags.min_p.value_or(params.min_p);
  return params;
}

}  // namespace

void AddSamplingFlags(CLI::App& parser, SamplingFlags& flags) {
  parser.add_option("--temperature", flags.temperature, "0: always the most likely token.");
  parser.add_option("--top_k", flags.top_k, "Draw among the k most likely tokens; 0: off.");
  parser.add_option("--top_p", flags.top_p, "Draw among the most likely tokens that together reach this; 1: off.");
  parser.add_option("--min_p", flags.min_p, "Draw among tokens this many times as likely as the best; 0: off.");
  parser.add_option("--seed", flags.seed, "Same seed, same text; without it, a new one each time.");
}

absl::Status CheckSamplingFlags(const SamplingFlags& flags) {
  const absl::Status status = Validate(Override(SamplingParams(), flags));
  return status.ok() ? status : UsageError(status.message());
}

SamplingParams ResolveSampling(const SamplingFlags& flags, const Manifest& manifest) {
  SamplingParams params = Override(DefaultSampling(manifest), flags);
  params.seed = flags.seed.has_value() ? *flags.seed : std::random_device()();
  return params;
}

}  // namespace gemma
