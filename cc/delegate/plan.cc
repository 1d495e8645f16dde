#include "cc/delegate/plan.h"

#include <array>
#include <variant>

#include "absl/strings/string_view.h"

namespace gemma {

absl::string_view PlanMethodName(PlanMethod method) {
  constexpr std::array<absl::string_view, kPlanMethods> kNames = {"prefill", "decode", "score"};
  return kNames[static_cast<size_t>(method)];
}

bool PlanWeight::SameData(const PlanWeight& other) const {
  return data_key == other.data_key && shape.layout == other.shape.layout &&
         shape.rows == other.shape.rows && shape.columns == other.shape.columns &&
         shape.group == other.shape.group && bytes == other.bytes;
}

absl::string_view PlanOperationName(const PlanOperation& operation) {
  constexpr std::array<absl::string_view, std::variant_size_v<PlanOperation>> kNames = {
      "Embed", "RmsNorm",    "Linear",  "PrepareAttention", "Attention", "GatedGelu",
      "Add",   "SelectLast", "Softcap", "Sample",           "Score"};
  return kNames[operation.index()];
}

int64_t Plan::ScoreTop() const {
  if (steps.empty()) return 0;
  const auto* score = std::get_if<ScoreStep>(&steps.back().operation);
  return score == nullptr ? 0 : score->top;
}

}  // namespace gemma
