// inspect: what an artifact holds: manifest, methods, steps, weights by layout, caches. Reads what
// every command reads before it loads the weights, and refuses what they refuse.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "cc/base/status_macros.h"
#include "cc/engine/artifact_description.h"
#include "cc/engine/load_engine.h"
#include "cc/runner/command.h"
#include "cc/runner/flags.h"
#include "cc/runner/user_path.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::ordered_json;

struct Flags {
  std::string model;
  std::string format = "table";
  bool steps = false;
  bool random_weights = false;
};

Json StepsAsJson(const MethodDescription& method) {
  Json steps = Json::array();
  for (const StepDescription& step : method.steps)
    steps.push_back({{"name", step.name}, {"operation", step.operation}});
  return steps;
}

double BitsPerWeight(const LayoutTotal& total) {
  return 8.0 * static_cast<double>(total.bytes) / total.parameters;
}

Json AsJson(const ArtifactDescription& artifact) {
  const Manifest& manifest = artifact.manifest;
  Json root = {{"model", manifest.model_name},
               {"config", Json::parse(manifest.config)},
               {"recipe", manifest.recipe},
               {"max_seq_len", manifest.max_seq_len},
               {"max_prefill_chunk", manifest.max_prefill_chunk},
               {"versions", manifest.versions}};
  for (const ManifestFile& file : manifest.files) {
    root["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  for (const MethodDescription& described : artifact.methods) {
    Json& method = root["methods"][described.name];
    method["max_tokens"] = described.max_tokens;
    method["steps"] = StepsAsJson(described);
    method["cache_bytes"] = described.cache_bytes;
    for (const LayoutTotal& total : described.layouts) {
      method["weights"][total.layout] = {{"weights", total.weights},
                                         {"parameters", total.parameters},
                                         {"bytes", total.bytes},
                                         {"bits_per_weight", BitsPerWeight(total)}};
    }
  }
  return root;
}

void PrintManifest(const Manifest& manifest) {
  std::printf("model    %s, recipe %s, context %lld, prefill chunk up to %lld\n",
              manifest.model_name.c_str(), manifest.recipe.c_str(),
              static_cast<long long>(manifest.max_seq_len),
              static_cast<long long>(manifest.max_prefill_chunk));
  for (const ManifestFile& file : manifest.files) {
    std::printf("file     %-14s %14llu bytes  sha256 %s\n", file.name.c_str(),
                static_cast<unsigned long long>(file.bytes), file.sha256.c_str());
  }
}

void PrintMethod(const MethodDescription& method, bool steps) {
  std::fputs(
      absl::StrFormat(
          "\nmethod   %s: up to %d tokens a call, %d steps, %d weights, caches %.1f MB a session\n",
          method.name, method.max_tokens, method.steps.size(), method.weights,
          method.cache_bytes / 1e6)
          .c_str(),
      stdout);
  for (const LayoutTotal& total : method.layouts) {
    std::fputs(
        absl::StrFormat("  %-9s %5d weights %12.3f M parameters %10.1f MB %7.3f bits a weight\n",
                        total.layout, total.weights, total.parameters / 1e6, total.bytes / 1e6,
                        BitsPerWeight(total))
            .c_str(),
        stdout);
  }
  if (!steps) return;
  for (const StepDescription& step : method.steps)
    std::fputs(absl::StrFormat("  %-18s %s\n", step.operation, step.name).c_str(), stdout);
}

absl::Status Inspect(const Flags& flags) {
  GEMMA_ASSIGN_OR_RETURN(const ArtifactDescription artifact,
                         DescribeArtifact(UserPath(flags.model), flags.random_weights));
  if (flags.format == "json") {
    std::printf("%s\n", AsJson(artifact).dump(2).c_str());
    return absl::OkStatus();
  }
  PrintManifest(artifact.manifest);
  for (const MethodDescription& method : artifact.methods) PrintMethod(method, flags.steps);
  return absl::OkStatus();
}

}  // namespace

Command InspectCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("inspect", "What an artifact holds.");
  parser->add_option("--model", flags->model, "The artifact folder that export made.")
      ->required()
      ->option_text("DIR");
  AddChoice(*parser, "--format", flags->format, {"table", "json"}, "How it is printed.");
  parser->add_flag("--random_weights", flags->random_weights,
                   "Accept files that lack weights, as the other commands do with this flag.");
  parser->add_flag("--steps", flags->steps, "List every step of every method.");
  AddExamples(*parser, {"runner inspect --model DIR", "runner inspect --model DIR --format json"});
  return {parser, [flags] { return Inspect(*flags); }};
}

}  // namespace gemma
