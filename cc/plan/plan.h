// A checked plan: what one method of an exported model does, as plain C++ data. Only CheckPlan
// (plan_check.h) makes one from a file's bytes, so whoever holds a Plan may rely on all that is
// said here without checking it again: every index points into its table, every shape agrees, every
// value is written before it is read.
//
// The schema, cc/plan/plan.fbs, describes what the steps compute.
#ifndef CC_PLAN_PLAN_H_
#define CC_PLAN_PLAN_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "cc/kernels/operations.h"
#include "cc/kernels/weight_layout.h"

namespace gemma {

enum class PlanMethod : uint8_t { kPrefill, kDecode, kScore };
inline constexpr int kPlanMethods = 3;

// "prefill", "decode", "score": also the names of the program's methods.
absl::string_view PlanMethodName(PlanMethod method);

// How a device that multiplies in float16 holds the inputs of products.
// The numbers are those of the schema.
enum class ActivationPrecision : uint8_t { kFloat16 = 1, kFloat16Pairs = 2 };

struct PlanWeight {
  std::string name;
  std::string data_key;  // the key of its bytes in the .ptd
  WeightShape shape;
  uint64_t bytes = 0;

  // True when both describe the same bytes in the same way; names may differ.
  bool SameData(const PlanWeight& other) const;
};

// Keys and values of one layer, which a session owns. Position p lies in slot p mod capacity.
struct PlanCache {
  std::string name;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t capacity = 0;  // positions held
  int64_t window = 0;    // a query at p sees keys in (p - window, p]; 0: all keys in [0, p]
  CacheType type = CacheType::kF32;
  uint64_t bytes = 0;  // keys and values together

  bool operator==(const PlanCache&) const = default;
};

// What a plan that states no precision means: pairs where all caches are float32.
ActivationPrecision PrecisionOf(const std::vector<PlanCache>& caches);

// An activation buffer.
struct PlanValue {
  std::string name;
  int64_t columns = 0;
  bool one_row = false;  // one row (the last token's) instead of one a token
};

// Operands are indices into the plan's tables; kAbsent where a step does without one.
using Index = int32_t;
inline constexpr Index kAbsent = -1;

struct EmbedStep {
  Index weight = kAbsent;
  float scale = 1;
  Index out = kAbsent;
};

struct RmsNormStep {
  Index in = kAbsent;
  Index weight = kAbsent;  // or kAbsent
  int64_t width = 0;
  float epsilon = 0;
  Index add = kAbsent;     // or kAbsent
  Index scalar = kAbsent;  // or kAbsent
  Index out = kAbsent;
};

struct LinearStep {
  Index in = kAbsent;
  std::vector<Index> weights;  // as many as outs
  std::vector<Index> outs;
};

struct PrepareAttentionStep {
  Index q = kAbsent;
  Index k = kAbsent;
  Index v = kAbsent;  // kAbsent: values come from k
  Index q_norm = kAbsent;
  Index k_norm = kAbsent;
  bool normalize_v = false;
  float epsilon = 0;
  Index frequencies = kAbsent;
  int64_t heads = 0;
  Index cache = kAbsent;
  Index out = kAbsent;
};

struct AttentionStep {
  Index q = kAbsent;
  Index cache = kAbsent;
  int64_t heads = 0;
  float scale = 1;
  Index out = kAbsent;
};

struct GatedGeluStep {
  Index gate = kAbsent;
  Index up = kAbsent;
  Index out = kAbsent;
};

struct AddStep {
  Index a = kAbsent;
  Index b = kAbsent;
  Index out = kAbsent;
};

// At most one in a plan. Steps after it are skipped when a call emits nothing;
// none of them touches a cache.
struct SelectLastStep {
  Index in = kAbsent;
  Index out = kAbsent;
};

struct SoftcapStep {
  Index in = kAbsent;
  float cap = 0;
  Index out = kAbsent;
};

// The last step of prefill and decode.
struct SampleStep {
  Index logits = kAbsent;
};

// The last step of score.
struct ScoreStep {
  Index in = kAbsent;
  Index weight = kAbsent;
  float softcap = 0;  // 0: none
  int64_t top = 0;
};

using PlanOperation =
    std::variant<EmbedStep, RmsNormStep, LinearStep, PrepareAttentionStep, AttentionStep,
                 GatedGeluStep, AddStep, SelectLastStep, SoftcapStep, SampleStep, ScoreStep>;

// "Embed", "RmsNorm"...: the operation's name in the schema.
absl::string_view PlanOperationName(const PlanOperation& operation);

// The tables' entries that a step touches; no kAbsent among them.
struct StepOperands {
  std::vector<Index> reads;   // values
  std::vector<Index> writes;  // values
  std::vector<Index> weights;
  Index cache_read = kAbsent;
  Index cache_written = kAbsent;
};

StepOperands OperandsOf(const PlanOperation& operation);

struct PlanStep {
  std::string name;
  PlanOperation operation;
};

struct Plan {
  std::string model;
  PlanMethod method = PlanMethod::kPrefill;
  int64_t vocab_size = 0;
  int64_t max_tokens = 0;   // tokens a call may carry
  int64_t max_context = 0;  // positions a session may hold
  ActivationPrecision activations = ActivationPrecision::kFloat16;
  std::vector<PlanWeight> weights;
  std::vector<PlanCache> caches;
  std::vector<PlanValue> values;
  std::vector<PlanStep> steps;

  // Rows of value `index` in a call of `tokens` tokens.
  int64_t Rows(Index index, int64_t tokens) const { return values[index].one_row ? 1 : tokens; }
  // Ids that `score` gives for every token; 0 for the other methods.
  int64_t ScoreTop() const;
};

}  // namespace gemma

#endif  // CC_PLAN_PLAN_H_
