#include "cc/plan/plan.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <variant>

#include "absl/strings/string_view.h"

namespace gemma {
namespace {

// Collects the operands of each operation.
struct OperandCollector {
  StepOperands operands;

  static void Append(std::initializer_list<Index> indices, std::vector<Index>& to) {
    for (const Index index : indices) {
      if (index != kAbsent) to.push_back(index);
    }
  }
  void Reads(std::initializer_list<Index> values) { Append(values, operands.reads); }
  void Writes(std::initializer_list<Index> values) { Append(values, operands.writes); }
  void Weights(std::initializer_list<Index> weights) { Append(weights, operands.weights); }

  void operator()(const EmbedStep& step) {
    Weights({step.weight});
    Writes({step.out});
  }
  void operator()(const RmsNormStep& step) {
    Reads({step.in, step.add});
    Weights({step.weight, step.scalar});
    Writes({step.out});
  }
  void operator()(const LinearStep& step) {
    Reads({step.in});
    operands.weights = step.weights;
    operands.writes = step.outs;
  }
  void operator()(const PrepareAttentionStep& step) {
    Reads({step.q, step.k, step.v});
    Weights({step.q_norm, step.k_norm, step.frequencies});
    Writes({step.out});
    operands.cache_written = step.cache;
  }
  void operator()(const AttentionStep& step) {
    Reads({step.q});
    Writes({step.out});
    operands.cache_read = step.cache;
  }
  void operator()(const GatedGeluStep& step) {
    Reads({step.gate, step.up});
    Writes({step.out});
  }
  void operator()(const AddStep& step) {
    Reads({step.a, step.b});
    Writes({step.out});
  }
  void operator()(const SelectLastStep& step) {
    Reads({step.in});
    Writes({step.out});
  }
  void operator()(const SoftcapStep& step) {
    Reads({step.in});
    Writes({step.out});
  }
  void operator()(const SampleStep& step) { Reads({step.logits}); }
  void operator()(const ScoreStep& step) {
    Reads({step.in});
    Weights({step.weight});
  }
};

}  // namespace

StepOperands OperandsOf(const PlanOperation& operation) {
  OperandCollector collector;
  std::visit(collector, operation);
  return collector.operands;
}

ActivationPrecision PrecisionOf(const std::vector<PlanCache>& caches) {
  const bool is_float32 = std::all_of(caches.begin(), caches.end(), [](const PlanCache& cache) {
    return cache.type == CacheType::kF32;
  });
  return is_float32 ? ActivationPrecision::kFloat16Pairs : ActivationPrecision::kFloat16;
}

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
