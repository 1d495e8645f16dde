// inspect: what an artifact holds, without loading its weights: manifest, methods, steps, weights
// by layout, caches.

#include <cstdio>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cc/base/status_macros.h"
#include "cc/engine/artifact_files.h"
#include "cc/engine/manifest.h"
#include "cc/engine/program_check.h"
#include "cc/kernels/weight_layout.h"
#include "cc/plan/plan.h"
#include "cc/plan/plan_check.h"
#include "cc/runner/command.h"
#include "cc/runner/model_flags.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxProgramBytes = 1 << 30;

struct Flags {
  std::string model;
  std::string format = "table";
  bool steps = false;
};

// The weights of one layout.
struct LayoutTotal {
  int64_t weights = 0;
  double parameters = 0;
  double bytes = 0;
};

absl::StatusOr<std::vector<Plan>> ReadPlans(const std::string& folder, const Manifest& manifest) {
  const ManifestFile* file = manifest.FindFile("model.pte");
  if (file == nullptr)
    return absl::NotFoundError(absl::StrCat(folder, "/manifest.json: it names no model.pte"));
  GEMMA_ASSIGN_OR_RETURN(const HostMemory memory, ReadVerified(folder, *file, kMaxProgramBytes));
  GEMMA_ASSIGN_OR_RETURN(const std::vector<ProgramMethod> methods,
                         CheckProgram({memory.data(), memory.size()}));
  std::vector<Plan> plans;
  for (const ProgramMethod& method : methods) {
    GEMMA_ASSIGN_OR_RETURN(Plan plan, ReadCheckedPlan(method.plan, method.name));
    plans.push_back(std::move(plan));
  }
  return plans;
}

std::map<std::string, LayoutTotal> TotalsByLayout(const Plan& plan) {
  std::map<std::string, LayoutTotal> totals;
  for (const PlanWeight& weight : plan.weights) {
    LayoutTotal& total = totals[std::string(WeightLayoutName(weight.shape.layout))];
    total.weights += 1;
    total.parameters += static_cast<double>(weight.shape.rows) * weight.shape.columns;
    total.bytes += weight.bytes;
  }
  return totals;
}

double CacheBytes(const Plan& plan) {
  double bytes = 0;
  for (const PlanCache& cache : plan.caches) bytes += cache.bytes;
  return bytes;
}

Json StepsAsJson(const Plan& plan) {
  Json steps = Json::array();
  for (const PlanStep& step : plan.steps) {
    steps.push_back(
        {{"name", step.name}, {"operation", std::string(PlanOperationName(step.operation))}});
  }
  return steps;
}

Json AsJson(const Manifest& manifest, const std::vector<Plan>& plans) {
  Json root = {{"model", manifest.model_name},
               {"config", Json::parse(manifest.config)},
               {"recipe", manifest.recipe},
               {"max_seq_len", manifest.max_seq_len},
               {"max_prefill_chunk", manifest.max_prefill_chunk},
               {"versions", manifest.versions}};
  for (const ManifestFile& file : manifest.files) {
    root["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  for (const Plan& plan : plans) {
    Json& method = root["methods"][std::string(PlanMethodName(plan.method))];
    method["max_tokens"] = plan.max_tokens;
    method["steps"] = StepsAsJson(plan);
    method["cache_bytes"] = CacheBytes(plan);
    for (const auto& [layout, total] : TotalsByLayout(plan)) {
      method["weights"][layout] = {{"weights", total.weights},
                                   {"parameters", total.parameters},
                                   {"bytes", total.bytes},
                                   {"bits_per_weight", 8 * total.bytes / total.parameters}};
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

void PrintPlan(const Plan& plan, bool steps) {
  std::fputs(
      absl::StrFormat(
          "\nmethod   %s: up to %d tokens a call, %d steps, %d weights, caches %.1f MB a session\n",
          PlanMethodName(plan.method), plan.max_tokens, plan.steps.size(), plan.weights.size(),
          CacheBytes(plan) / 1e6)
          .c_str(),
      stdout);
  for (const auto& [layout, total] : TotalsByLayout(plan)) {
    std::fputs(
        absl::StrFormat("  %-9s %5d weights %12.3f M parameters %10.1f MB %7.3f bits a weight\n",
                        layout, total.weights, total.parameters / 1e6, total.bytes / 1e6,
                        8 * total.bytes / total.parameters)
            .c_str(),
        stdout);
  }
  if (!steps) return;
  for (const PlanStep& step : plan.steps) {
    std::fputs(
        absl::StrFormat("  %-18s %s\n", PlanOperationName(step.operation), step.name).c_str(),
        stdout);
  }
}

absl::Status Inspect(const Flags& flags) {
  const std::string folder = UserPath(flags.model);
  GEMMA_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(folder));
  GEMMA_ASSIGN_OR_RETURN(const std::vector<Plan> plans, ReadPlans(folder, manifest));
  if (flags.format == "json") {
    std::printf("%s\n", AsJson(manifest, plans).dump(2).c_str());
    return absl::OkStatus();
  }
  PrintManifest(manifest);
  for (const Plan& plan : plans) PrintPlan(plan, flags.steps);
  return absl::OkStatus();
}

}  // namespace

Command InspectCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand("inspect", "What an artifact holds.");
  parser->add_option("--model", flags->model, "The artifact folder that export made.")->required();
  parser->add_option("--format", flags->format, "table or json.")
      ->check(CLI::IsMember({"table", "json"}));
  parser->add_flag("--steps", flags->steps, "List every step of every method.");
  return {parser, [flags] { return Inspect(*flags); }};
}

}  // namespace gemma
