#include "cc/engine/artifact_program.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/status_macros.h"
#include "cc/engine/artifact_files.h"
#include "cc/engine/program_check.h"
#include "cc/plan/plan_check.h"

namespace gemma {
namespace {

constexpr uint64_t kMaxBytes = 256 << 20;

absl::Status CheckMethods(const std::vector<ProgramMethod>& methods, const Manifest& manifest) {
  std::vector<std::string> names;
  for (const ProgramMethod& method : methods) names.push_back(method.name);
  std::vector<std::string> promised = manifest.methods;
  std::sort(names.begin(), names.end());
  std::sort(promised.begin(), promised.end());
  if (names == promised) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("has the methods ", absl::StrJoin(names, ", "),
                                                 ", but the manifest says ",
                                                 absl::StrJoin(promised, ", ")));
}

absl::Status CheckLimits(const Plan& plan, const Manifest& manifest) {
  if (plan.max_context != manifest.max_seq_len) {
    return absl::InvalidArgumentError(
        absl::StrCat("method ", PlanMethodName(plan.method), " holds ", plan.max_context,
                     " positions, but the manifest says max_seq_len ", manifest.max_seq_len));
  }
  if (plan.method != PlanMethod::kDecode && plan.max_tokens != manifest.max_prefill_chunk) {
    return absl::InvalidArgumentError(absl::StrCat(
        "method ", PlanMethodName(plan.method), " takes ", plan.max_tokens,
        " tokens, but the manifest says max_prefill_chunk ", manifest.max_prefill_chunk));
  }
  return absl::OkStatus();
}

// All that can be said without the file's name.
absl::StatusOr<std::vector<Plan>> CheckPlans(std::span<const std::byte> bytes,
                                             const Manifest& manifest) {
  GEMMA_ASSIGN_OR_RETURN(const std::vector<ProgramMethod> methods, CheckProgram(bytes));
  GEMMA_RETURN_IF_ERROR(CheckMethods(methods, manifest));
  std::vector<Plan> plans;
  for (const ProgramMethod& method : methods) {
    GEMMA_ASSIGN_OR_RETURN(Plan plan, ReadCheckedPlan(method.plan, method.name));
    GEMMA_RETURN_IF_ERROR(CheckSignature(method, plan));
    GEMMA_RETURN_IF_ERROR(CheckLimits(plan, manifest));
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace

absl::StatusOr<ArtifactProgram> ReadArtifactProgram(const std::string& folder,
                                                    const Manifest& manifest) {
  ArtifactProgram program;
  GEMMA_ASSIGN_OR_RETURN(program.memory,
                         ReadVerified(folder, *manifest.FindFile("model.pte"), kMaxBytes));
  absl::StatusOr<std::vector<Plan>> plans = CheckPlans(program.bytes(), manifest);
  if (!plans.ok()) {
    return absl::Status(plans.status().code(),
                        absl::StrCat(folder, "/model.pte: ", plans.status().message()));
  }
  program.plans = *std::move(plans);
  return program;
}

}  // namespace gemma
