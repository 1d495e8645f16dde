#include "cc/runner/sampling_flags.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "cc/runner/exit_code.h"

namespace gemma {
namespace {

constexpr char kGroup[] = "Sampling (unless given, as the checkpoint says)";

}  // namespace

void AddSamplingFlags(CLI::App& parser, SamplingFlags& flags) {
  for (size_t i = 0; i < kSamplingFields.size(); ++i) {
    const SamplingField& field = kSamplingFields[i];
    parser.add_option(absl::StrCat("--", field.name), flags.given[i], field.help)
        ->option_text(field.integer != nullptr ? "N" : "X")
        ->group(kGroup);
  }
  parser
      .add_option("--seed", flags.seed,
                  "Same seed, same text; without it a new one each time, which is told.")
      ->option_text("N")
      ->group(kGroup);
}

absl::Status CheckSamplingFlags(const SamplingFlags& flags) {
  for (size_t i = 0; i < kSamplingFields.size(); ++i) {
    const SamplingField& field = kSamplingFields[i];
    if (!flags.given[i].has_value() || field.Allows(*flags.given[i])) continue;
    return UsageError(absl::StrCat("--", field.name, " ", *flags.given[i], " is not allowed (",
                                   field.allowed, " are)"));
  }
  return absl::OkStatus();
}

SamplingParams ResolveSampling(const SamplingFlags& flags, const Manifest& manifest) {
  SamplingParams params = manifest.sampling;
  for (size_t i = 0; i < kSamplingFields.size(); ++i) {
    if (flags.given[i].has_value()) kSamplingFields[i].Set(params, *flags.given[i]);
  }
  params.seed = flags.seed.has_value() ? *flags.seed : std::random_device()();
  return params;
}

std::string DescribeSeed(const SamplingParams& params) {
  if (params.temperature <= 0) return "";
  return absl::StrCat("seed    ", params.seed, " (--seed ", params.seed, " repeats this)");
}

}  // namespace gemma
