#include "cc/plan/plan_check.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/plan/limits.h"
#include "cc/plan/plan_read.h"

namespace gemma {
namespace {

// What a plan may ask for the kernels must be able to do.
static_assert(PlanLimits::kHeadDim <= kMaxHeadDim && PlanLimits::kScoreTop <= kMaxScoreTop);

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("plan: ", parts...));
}

absl::Status CheckRange(absl::string_view what, int64_t number, int64_t least, int64_t most) {
  if (number >= least && number <= most) return absl::OkStatus();
  return Refuse(what, " is ", number, " (", least, " to ", most, " are allowed)");
}

absl::Status CheckLimits(const Plan& plan) {
  GEMMA_RETURN_IF_ERROR(CheckRange("vocab_size", plan.vocab_size, 1, PlanLimits::kVocabSize));
  GEMMA_RETURN_IF_ERROR(CheckRange("max_context", plan.max_context, 1, PlanLimits::kMaxContext));
  const bool decode = plan.method == PlanMethod::kDecode;
  return CheckRange("max_tokens", plan.max_tokens, 1,
                    decode ? 1 : std::min(PlanLimits::kMaxTokens, plan.max_context));
}

// Names are how people find things, so two of a kind may not share one.
template <typename Entry>
absl::Status CheckUniqueNames(const std::vector<Entry>& entries, absl::string_view what) {
  std::set<absl::string_view> names;
  for (const Entry& entry : entries) {
    if (!names.insert(entry.name).second) return Refuse("two ", what, " are named ", entry.name);
  }
  return absl::OkStatus();
}

absl::Status CheckWeight(const PlanWeight& weight) {
  const absl::StatusOr<WeightPlanes> planes = LayOutWeight(weight.shape);
  if (!planes.ok()) return Refuse("weight ", weight.name, ": ", planes.status().message());
  if (weight.bytes == planes->bytes) return absl::OkStatus();
  return Refuse("weight ", weight.name, " (", WeightLayoutName(weight.shape.layout), ", ",
                weight.shape.rows, " x ", weight.shape.columns, ") says ", weight.bytes,
                " bytes, but its layout takes ", planes->bytes);
}

// Weights that share bytes must read them in the same way.
absl::Status CheckSharedData(const std::vector<PlanWeight>& weights) {
  std::vector<const PlanWeight*> sorted;
  for (const PlanWeight& weight : weights) sorted.push_back(&weight);
  std::sort(sorted.begin(), sorted.end(),
            [](const PlanWeight* a, const PlanWeight* b) { return a->data_key < b->data_key; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i - 1]->data_key != sorted[i]->data_key || sorted[i - 1]->SameData(*sorted[i]))
      continue;
    return Refuse("weights ", sorted[i - 1]->name, " and ", sorted[i]->name, " share the data ",
                  sorted[i]->data_key, " but differ in layout, shape, group or size");
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CacheBytes(const PlanCache& cache) {
  const auto element = static_cast<uint64_t>(CacheElementBytes(cache.type));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t rows, CheckedMul<uint64_t>(cache.kv_heads, cache.capacity));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t numbers, CheckedMul<uint64_t>(rows, cache.head_dim));
  return CheckedMul<uint64_t>(numbers, 2 * element);
}

// The slots that a call of max_tokens needs: its own tokens, and what its first token still sees.
int64_t NeededCapacity(const Plan& plan, const PlanCache& cache) {
  if (cache.window == 0) return plan.max_context;
  return std::min(plan.max_context, cache.window - 1 + plan.max_tokens);
}

absl::Status CheckCache(const Plan& plan, PlanCache& cache) {
  const std::string name = absl::StrCat("cache ", cache.name, ": ");
  GEMMA_RETURN_IF_ERROR(CheckRange(name + "kv_heads", cache.kv_heads, 1, PlanLimits::kHeads));
  GEMMA_RETURN_IF_ERROR(CheckRange(name + "head_dim", cache.head_dim, 2, PlanLimits::kHeadDim));
  if (cache.head_dim % 2 != 0) return Refuse(name, "head_dim ", cache.head_dim, " is odd");
  GEMMA_RETURN_IF_ERROR(CheckRange(name + "window", cache.window, 0, PlanLimits::kMaxContext));
  GEMMA_RETURN_IF_ERROR(CheckRange(name + "capacity", cache.capacity, 1, PlanLimits::kMaxContext));
  const int64_t needed = NeededCapacity(plan, cache);
  if (cache.capacity < needed) {
    return Refuse(name, "capacity ", cache.capacity, " is less than the ", needed, " that window ",
                  cache.window, ", max_tokens ", plan.max_tokens, " and max_context ",
                  plan.max_context, " need");
  }
  const absl::StatusOr<uint64_t> bytes = CacheBytes(cache);
  if (!bytes.ok()) return Refuse(name, bytes.status().message());
  cache.bytes = *bytes;
  return absl::OkStatus();
}

absl::Status CheckTables(Plan& plan) {
  GEMMA_RETURN_IF_ERROR(CheckUniqueNames(plan.weights, "weights"));
  GEMMA_RETURN_IF_ERROR(CheckUniqueNames(plan.caches, "caches"));
  GEMMA_RETURN_IF_ERROR(CheckUniqueNames(plan.values, "values"));
  for (const PlanWeight& weight : plan.weights) GEMMA_RETURN_IF_ERROR(CheckWeight(weight));
  GEMMA_RETURN_IF_ERROR(CheckSharedData(plan.weights));
  for (PlanCache& cache : plan.caches) GEMMA_RETURN_IF_ERROR(CheckCache(plan, cache));
  for (const PlanValue& value : plan.values) {
    GEMMA_RETURN_IF_ERROR(CheckRange(absl::StrCat("value ", value.name, ": columns"), value.columns,
                                     1, PlanLimits::kColumns));
  }
  return absl::OkStatus();
}

// Goes through the steps in order and remembers what they have written so far.
class StepChecker {
 public:
  explicit StepChecker(const Plan& plan)
      : plan_(plan), written_(plan.values.size()), prepared_(plan.caches.size()) {}

  absl::Status Check(const PlanStep& step) {
    step_ = &step;
    if (finished_) return Fail("comes after the method's last step");
    return std::visit([this](const auto& operation) { return CheckOperation(operation); },
                      step.operation);
  }

  absl::Status CheckEnd() const {
    if (finished_) return absl::OkStatus();
    return Refuse("the method ", PlanMethodName(plan_.method), " does not end with a ",
                  plan_.method == PlanMethod::kScore ? "Score" : "Sample", " step");
  }

 private:
  template <typename... Parts>
  absl::Status Fail(const Parts&... parts) const {
    return Refuse("step ", step_->name, " (", PlanOperationName(step_->operation), ") ", parts...);
  }

  absl::Status CheckIndex(absl::string_view operand, Index index, size_t size,
                          absl::string_view table) const {
    if (index >= 0 && static_cast<size_t>(index) < size) return absl::OkStatus();
    return Fail("has ", operand, " ", index, ", but the plan has ", size, " ", table);
  }

  // A value that a step reads: one that an earlier step wrote, of the columns given (0: any).
  absl::Status CheckRead(absl::string_view operand, Index index, int64_t columns) const {
    GEMMA_RETURN_IF_ERROR(CheckIndex(operand, index, plan_.values.size(), "values"));
    const PlanValue& value = plan_.values[index];
    if (!written_[index])
      return Fail("reads ", operand, " ", value.name, " before a step has written it");
    return CheckColumns(operand, value, columns);
  }

  // A value that a step writes. Rows: one if `one_row`, else one a token.
  absl::Status CheckWrite(absl::string_view operand, Index index, int64_t columns, bool one_row) {
    GEMMA_RETURN_IF_ERROR(CheckIndex(operand, index, plan_.values.size(), "values"));
    const PlanValue& value = plan_.values[index];
    if (value.one_row != one_row) {
      return Fail("writes ", one_row ? "one row" : "a row for every token", " to ", operand, " ",
                  value.name, ", which has ", value.one_row ? "one row" : "a row for every token");
    }
    written_[index] = true;
    return CheckColumns(operand, value, columns);
  }

  absl::Status CheckColumns(absl::string_view operand, const PlanValue& value,
                            int64_t columns) const {
    if (columns == 0 || value.columns == columns) return absl::OkStatus();
    return Fail("needs ", columns, " columns in ", operand, ", but ", value.name, " has ",
                value.columns);
  }

  // Two inputs of one step must have as many rows as each other.
  absl::Status CheckSameRows(Index a, Index b) const {
    if (plan_.values[a].one_row == plan_.values[b].one_row) return absl::OkStatus();
    return Fail("mixes ", plan_.values[a].name, " and ", plan_.values[b].name,
                ", one of which has one row and the other a row for every token");
  }

  absl::Status CheckRowPerToken(absl::string_view operand, Index index) const {
    if (!plan_.values[index].one_row) return absl::OkStatus();
    return Fail("needs a row for every token in ", operand, ", but ", plan_.values[index].name,
                " has one row");
  }

  absl::Status CheckWeight(absl::string_view operand, Index index, int64_t rows,
                           int64_t columns) const {
    GEMMA_RETURN_IF_ERROR(CheckIndex(operand, index, plan_.weights.size(), "weights"));
    const PlanWeight& weight = plan_.weights[index];
    if (weight.shape.rows == rows && weight.shape.columns == columns) return absl::OkStatus();
    return Fail("needs ", operand, " [", rows, ", ", columns, "], but ", weight.name, " is [",
                weight.shape.rows, ", ", weight.shape.columns, "]");
  }

  // Norm weights, frequencies and scalars: read as plain float32.
  absl::Status CheckVector(absl::string_view operand, Index index, int64_t columns) const {
    GEMMA_RETURN_IF_ERROR(CheckWeight(operand, index, 1, columns));
    const PlanWeight& weight = plan_.weights[index];
    if (weight.shape.layout == WeightLayout::kF32) return absl::OkStatus();
    return Fail("needs ", operand, " in F32, but ", weight.name, " is ",
                WeightLayoutName(weight.shape.layout));
  }

  absl::Status CheckFinite(absl::string_view what, float number) const {
    if (std::isfinite(number)) return absl::OkStatus();
    return Fail("has ", what, " ", number, ", which is not finite");
  }

  absl::Status CheckPositive(absl::string_view what, float number) const {
    if (std::isfinite(number) && number > 0) return absl::OkStatus();
    return Fail("has ", what, " ", number, " (a finite number above 0 is needed)");
  }

  // Kernels read an input while other threads already write the output.
  absl::Status CheckApart(Index out, absl::Span<const Index> inputs) const {
    if (std::find(inputs.begin(), inputs.end(), out) == inputs.end()) return absl::OkStatus();
    return Fail("writes its output ", plan_.values[out].name, " over an input that it still reads");
  }

  absl::Status CheckOperation(const EmbedStep& step) {
    GEMMA_RETURN_IF_ERROR(CheckIndex("weight", step.weight, plan_.weights.size(), "weights"));
    const int64_t columns = plan_.weights[step.weight].shape.columns;
    GEMMA_RETURN_IF_ERROR(CheckWeight("weight", step.weight, plan_.vocab_size, columns));
    GEMMA_RETURN_IF_ERROR(CheckFinite("scale", step.scale));
    return CheckWrite("out", step.out, columns, /*one_row=*/false);
  }

  absl::Status CheckOperation(const RmsNormStep& step) {
    GEMMA_RETURN_IF_ERROR(CheckRead("in", step.in, 0));
    const PlanValue& in = plan_.values[step.in];
    if (step.width < 1 || in.columns % step.width != 0) {
      return Fail("has width ", step.width, ", which does not divide the ", in.columns,
                  " columns of ", in.name);
    }
    GEMMA_RETURN_IF_ERROR(CheckPositive("epsilon", step.epsilon));
    if (step.weight != kAbsent)
      GEMMA_RETURN_IF_ERROR(CheckVector("weight", step.weight, step.width));
    if (step.scalar != kAbsent) GEMMA_RETURN_IF_ERROR(CheckVector("scalar", step.scalar, 1));
    if (step.add != kAbsent) {
      GEMMA_RETURN_IF_ERROR(CheckRead("add", step.add, in.columns));
      GEMMA_RETURN_IF_ERROR(CheckSameRows(step.in, step.add));
    }
    return CheckWrite("out", step.out, in.columns, in.one_row);
  }

  absl::Status CheckOperation(const LinearStep& step) {
    GEMMA_RETURN_IF_ERROR(CheckRead("in", step.in, 0));
    const PlanValue& in = plan_.values[step.in];
    for (size_t i = 0; i < step.weights.size(); ++i) {
      const Index weight = step.weights[i];
      const Index out = step.outs[i];
      GEMMA_RETURN_IF_ERROR(CheckIndex("weight", weight, plan_.weights.size(), "weights"));
      const int64_t rows = plan_.weights[weight].shape.rows;
      GEMMA_RETURN_IF_ERROR(CheckWeight("weight", weight, rows, in.columns));
      GEMMA_RETURN_IF_ERROR(CheckWrite("out", out, rows, in.one_row));
      GEMMA_RETURN_IF_ERROR(CheckApart(out, {step.in}));
      GEMMA_RETURN_IF_ERROR(CheckApart(out, absl::MakeConstSpan(step.outs).subspan(i + 1)));
    }
    return absl::OkStatus();
  }

  absl::Status CheckHeads(int64_t heads, Index cache) const {
    GEMMA_RETURN_IF_ERROR(CheckIndex("cache", cache, plan_.caches.size(), "caches"));
    const int64_t kv_heads = plan_.caches[cache].kv_heads;
    if (heads >= 1 && heads <= PlanLimits::kHeads && heads % kv_heads == 0) return absl::OkStatus();
    return Fail("has ", heads, " heads, which is not a multiple of the ", kv_heads, " of ",
                plan_.caches[cache].name, " (at most ", PlanLimits::kHeads, ")");
  }

  absl::Status CheckOperation(const PrepareAttentionStep& step) {
    GEMMA_RETURN_IF_ERROR(CheckHeads(step.heads, step.cache));
    if (selected_) return Fail("writes a cache after SelectLast");
    if (prepared_[step.cache])
      return Fail("writes ", plan_.caches[step.cache].name, " a second time");
    prepared_[step.cache] = true;
    const PlanCache& cache = plan_.caches[step.cache];
    const int64_t q_columns = step.heads * cache.head_dim;
    const int64_t kv_columns = cache.kv_heads * cache.head_dim;
    GEMMA_RETURN_IF_ERROR(CheckRead("q", step.q, q_columns));
    GEMMA_RETURN_IF_ERROR(CheckRowPerToken("q", step.q));
    GEMMA_RETURN_IF_ERROR(CheckRead("k", step.k, kv_columns));
    GEMMA_RETURN_IF_ERROR(CheckRowPerToken("k", step.k));
    if (step.v != kAbsent) {
      GEMMA_RETURN_IF_ERROR(CheckRead("v", step.v, kv_columns));
      GEMMA_RETURN_IF_ERROR(CheckRowPerToken("v", step.v));
    }
    GEMMA_RETURN_IF_ERROR(CheckVector("q_norm", step.q_norm, cache.head_dim));
    GEMMA_RETURN_IF_ERROR(CheckVector("k_norm", step.k_norm, cache.head_dim));
    GEMMA_RETURN_IF_ERROR(CheckVector("frequencies", step.frequencies, cache.head_dim / 2));
    GEMMA_RETURN_IF_ERROR(CheckPositive("epsilon", step.epsilon));
    GEMMA_RETURN_IF_ERROR(CheckWrite("out", step.out, q_columns, /*one_row=*/false));
    return CheckApart(step.out, {step.k, step.v});
  }

  absl::Status CheckOperation(const AttentionStep& step) {
    GEMMA_RETURN_IF_ERROR(CheckHeads(step.heads, step.cache));
    const PlanCache& cache = plan_.caches[step.cache];
    if (!prepared_[step.cache]) return Fail("reads ", cache.name, " before a step has written it");
    const int64_t columns = step.heads * cache.head_dim;
    GEMMA_RETURN_IF_ERROR(CheckRead("q", step.q, columns));
    GEMMA_RETURN_IF_ERROR(CheckRowPerToken("q", step.q));
    GEMMA_RETURN_IF_ERROR(CheckPositive("scale", step.scale));
    return CheckWrite("out", step.out, columns, /*one_row=*/false);
  }

  absl::Status CheckOperation(const GatedGeluStep& step) {
    return CheckElementwise("gate", step.gate, "up", step.up, step.out);
  }

  absl::Status CheckOperation(const AddStep& step) {
    return CheckElementwise("a", step.a, "b", step.b, step.out);
  }

  absl::Status CheckElementwise(absl::string_view a_name, Index a, absl::string_view b_name,
                                Index b, Index out) {
    GEMMA_RETURN_IF_ERROR(CheckRead(a_name, a, 0));
    const PlanValue& value = plan_.values[a];
    GEMMA_RETURN_IF_ERROR(CheckRead(b_name, b, value.columns));
    GEMMA_RETURN_IF_ERROR(CheckSameRows(a, b));
    return CheckWrite("out", out, value.columns, value.one_row);
  }

  absl::Status CheckOperation(const SelectLastStep& step) {
    if (plan_.method == PlanMethod::kScore) return Fail("has no place in the method score");
    if (selected_) return Fail("is the second of its kind");
    GEMMA_RETURN_IF_ERROR(CheckRead("in", step.in, 0));
    GEMMA_RETURN_IF_ERROR(CheckRowPerToken("in", step.in));
    selected_ = true;
    return CheckWrite("out", step.out, plan_.values[step.in].columns, /*one_row=*/true);
  }

  absl::Status CheckOperation(const SoftcapStep& step) {
    GEMMA_RETURN_IF_ERROR(CheckRead("in", step.in, 0));
    GEMMA_RETURN_IF_ERROR(CheckPositive("cap", step.cap));
    return CheckWrite("out", step.out, plan_.values[step.in].columns,
                      plan_.values[step.in].one_row);
  }

  absl::Status CheckOperation(const SampleStep& step) {
    if (plan_.method == PlanMethod::kScore) return Fail("has no place in the method score");
    GEMMA_RETURN_IF_ERROR(CheckRead("logits", step.logits, plan_.vocab_size));
    if (!plan_.values[step.logits].one_row) {
      return Fail("needs one row of logits, but ", plan_.values[step.logits].name,
                  " has a row for every token");
    }
    finished_ = true;
    return absl::OkStatus();
  }

  absl::Status CheckOperation(const ScoreStep& step) {
    if (plan_.method != PlanMethod::kScore) {
      return Fail("has no place in the method ", PlanMethodName(plan_.method));
    }
    GEMMA_RETURN_IF_ERROR(CheckRead("in", step.in, 0));
    GEMMA_RETURN_IF_ERROR(CheckRowPerToken("in", step.in));
    GEMMA_RETURN_IF_ERROR(
        CheckWeight("weight", step.weight, plan_.vocab_size, plan_.values[step.in].columns));
    if (step.softcap != 0) GEMMA_RETURN_IF_ERROR(CheckPositive("softcap", step.softcap));
    const int64_t most = std::min(PlanLimits::kScoreTop, plan_.vocab_size);
    if (step.top < 1 || step.top > most)
      return Fail("has top ", step.top, " (1 to ", most, " are allowed)");
    finished_ = true;
    return absl::OkStatus();
  }

  const Plan& plan_;
  std::vector<bool> written_;   // by value
  std::vector<bool> prepared_;  // by cache
  bool selected_ = false;
  bool finished_ = false;
  const PlanStep* step_ = nullptr;
};

}  // namespace

absl::Status CheckPlan(Plan& plan) {
  GEMMA_RETURN_IF_ERROR(CheckLimits(plan));
  GEMMA_RETURN_IF_ERROR(CheckTables(plan));
  StepChecker checker(plan);
  for (const PlanStep& step : plan.steps) GEMMA_RETURN_IF_ERROR(checker.Check(step));
  GEMMA_RETURN_IF_ERROR(checker.CheckEnd());
  return CheckUniqueNames(plan.steps, "steps");
}

absl::StatusOr<Plan> ReadCheckedPlan(std::span<const std::byte> payload, absl::string_view method) {
  GEMMA_ASSIGN_OR_RETURN(Plan plan, ReadPlan(payload));
  if (PlanMethodName(plan.method) != method) {
    return Refuse("the program's method ", method, " carries the plan of ",
                  PlanMethodName(plan.method));
  }
  GEMMA_RETURN_IF_ERROR(CheckPlan(plan));
  return plan;
}

}  // namespace gemma
