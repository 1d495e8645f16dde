#include "cc/plan/plan_read.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/status_macros.h"
#include "cc/plan/limits.h"
#include "cc/plan/plan_generated.h"

namespace gemma {
namespace {

template <typename T>
using Table = flatbuffers::Vector<flatbuffers::Offset<T>>;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("plan: ", what));
}

// The verifier wants its input aligned as the numbers inside are; a payload may lie anywhere.
std::vector<uint64_t> AlignedCopy(std::span<const std::byte> payload) {
  std::vector<uint64_t> copy((payload.size() + sizeof(uint64_t) - 1) / sizeof(uint64_t));
  if (!payload.empty()) std::memcpy(copy.data(), payload.data(), payload.size());
  return copy;
}

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-' ||
         c == '/' || c == ',';
}

absl::StatusOr<std::string> ReadName(const flatbuffers::String* text, absl::string_view what,
                                     size_t index) {
  const absl::string_view name(text->data(), text->size());
  if (name.empty() || name.size() > PlanLimits::kNameBytes) {
    return Malformed(absl::StrCat("the name of ", what, " ", index, " has ", name.size(),
                                  " bytes (1 to ", PlanLimits::kNameBytes, " are allowed)"));
  }
  for (const char c : name) {
    if (!IsNameCharacter(c)) {
      return Malformed(absl::StrCat("the name of ", what, " ", index, " has byte ",
                                    static_cast<unsigned char>(c),
                                    " (only letters, digits and ._-/, are allowed)"));
    }
  }
  return std::string(name);
}

absl::Status CheckCount(size_t count, size_t limit, absl::string_view what) {
  if (count <= limit) return absl::OkStatus();
  return Malformed(absl::StrCat(count, " ", what, " are more than ", limit));
}

absl::StatusOr<PlanWeight> ReadWeight(const plan::Weight& table, size_t index) {
  PlanWeight weight;
  GEMMA_ASSIGN_OR_RETURN(weight.name, ReadName(table.name(), "weight", index));
  GEMMA_ASSIGN_OR_RETURN(weight.data_key, ReadName(table.data_key(), "the data of weight", index));
  // The schema may be ahead of the kernels.
  static_assert(kWeightLayouts <= static_cast<int>(plan::Layout::MAX) + 1);
  const auto layout = static_cast<uint8_t>(table.layout());
  if (layout >= kWeightLayouts) {
    return Malformed(absl::StrCat("weight ", weight.name, " has layout ", layout,
                                  " (known are 0 to ", kWeightLayouts - 1, ")"));
  }
  weight.shape = {static_cast<WeightLayout>(layout), table.rows(), table.columns(), table.group()};
  weight.bytes = table.bytes();
  return weight;
}

absl::StatusOr<PlanCache> ReadCache(const plan::Cache& table, size_t index) {
  PlanCache cache;
  GEMMA_ASSIGN_OR_RETURN(cache.name, ReadName(table.name(), "cache", index));
  const auto dtype = static_cast<uint8_t>(table.dtype());
  static_assert(static_cast<size_t>(plan::DType::MAX) + 1 == kCacheTypes.size());
  if (dtype >= kCacheTypes.size()) {
    return Malformed(absl::StrCat("cache ", cache.name, " has dtype ", dtype, " (known are 0 to ",
                                  kCacheTypes.size() - 1, ")"));
  }
  cache.kv_heads = table.kv_heads();
  cache.head_dim = table.head_dim();
  cache.capacity = table.capacity();
  cache.window = table.window();
  cache.type = static_cast<CacheType>(dtype);
  return cache;
}

absl::StatusOr<PlanValue> ReadValue(const plan::Value& table, size_t index) {
  PlanValue value;
  GEMMA_ASSIGN_OR_RETURN(value.name, ReadName(table.name(), "value", index));
  const auto rows = static_cast<uint8_t>(table.rows());
  if (rows > static_cast<uint8_t>(plan::Rows::MAX)) {
    return Malformed(
        absl::StrCat("value ", value.name, " has rows ", rows, " (known are 0 and 1)"));
  }
  value.columns = table.columns();
  value.one_row = table.rows() == plan::Rows::ONE;
  return value;
}

absl::StatusOr<LinearStep> ReadLinear(const plan::Linear& table, absl::string_view step) {
  const size_t count = table.weights()->size();
  if (count == 0 || count > PlanLimits::kLinears || count != table.outs()->size()) {
    return Malformed(
        absl::StrCat("step ", step, " has ", count, " weights and ", table.outs()->size(),
                     " outputs (as many of one as of the other, 1 to ", PlanLimits::kLinears, ")"));
  }
  return LinearStep{.in = table.in(),
                    .weights = {table.weights()->begin(), table.weights()->end()},
                    .outs = {table.outs()->begin(), table.outs()->end()}};
}

PlanOperation Read(const plan::Embed& t) { return EmbedStep{t.weight(), t.scale(), t.out()}; }

PlanOperation Read(const plan::RmsNorm& t) {
  return RmsNormStep{t.in(), t.weight(), t.width(), t.epsilon(), t.add(), t.scalar(), t.out()};
}

PlanOperation Read(const plan::PrepareAttention& t) {
  return PrepareAttentionStep{.q = t.q(),
                              .k = t.k(),
                              .v = t.v(),
                              .q_norm = t.q_norm(),
                              .k_norm = t.k_norm(),
                              .normalize_v = t.normalize_v(),
                              .epsilon = t.epsilon(),
                              .frequencies = t.frequencies(),
                              .heads = t.heads(),
                              .cache = t.cache(),
                              .out = t.out()};
}

PlanOperation Read(const plan::Attention& t) {
  return AttentionStep{t.q(), t.cache(), t.heads(), t.scale(), t.out()};
}

PlanOperation Read(const plan::Score& t) {
  return ScoreStep{t.in(), t.weight(), t.softcap(), t.top()};
}

// The union's type was checked by the verifier,
// which also proves that `step.operation()` is present.
absl::StatusOr<PlanOperation> ReadOperation(const plan::Step& step, absl::string_view name) {
  switch (step.operation_type()) {
    case plan::Operation::Embed:
      return Read(*step.operation_as_Embed());
    case plan::Operation::RmsNorm:
      return Read(*step.operation_as_RmsNorm());
    case plan::Operation::Linear:
      return ReadLinear(*step.operation_as_Linear(), name);
    case plan::Operation::PrepareAttention:
      return Read(*step.operation_as_PrepareAttention());
    case plan::Operation::Attention:
      return Read(*step.operation_as_Attention());
    case plan::Operation::GatedGelu: {
      const auto& t = *step.operation_as_GatedGelu();
      return GatedGeluStep{t.gate(), t.up(), t.out()};
    }
    case plan::Operation::Add: {
      const auto& t = *step.operation_as_Add();
      return AddStep{t.a(), t.b(), t.out()};
    }
    case plan::Operation::SelectLast: {
      const auto& t = *step.operation_as_SelectLast();
      return SelectLastStep{t.in(), t.out()};
    }
    case plan::Operation::Softcap: {
      const auto& t = *step.operation_as_Softcap();
      return SoftcapStep{t.in(), t.cap(), t.out()};
    }
    case plan::Operation::Sample:
      return SampleStep{step.operation_as_Sample()->logits()};
    case plan::Operation::Score:
      return Read(*step.operation_as_Score());
    case plan::Operation::NONE:
      break;
  }
  return Malformed(absl::StrCat("step ", name, " has operation ",
                                static_cast<int>(step.operation_type()), " (known are 1 to ",
                                static_cast<int>(plan::Operation::MAX), ")"));
}

absl::StatusOr<PlanStep> ReadStep(const plan::Step& table, size_t index) {
  PlanStep step;
  GEMMA_ASSIGN_OR_RETURN(step.name, ReadName(table.name(), "step", index));
  GEMMA_ASSIGN_OR_RETURN(step.operation, ReadOperation(table, step.name));
  return step;
}

template <typename From, typename To>
absl::Status ReadTable(const Table<From>& from, size_t limit, absl::string_view what,
                       absl::StatusOr<To> (*read)(const From&, size_t), std::vector<To>& to) {
  GEMMA_RETURN_IF_ERROR(CheckCount(from.size(), limit, what));
  to.reserve(from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    GEMMA_ASSIGN_OR_RETURN(To entry, read(*from.Get(static_cast<flatbuffers::uoffset_t>(i)), i));
    to.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

absl::StatusOr<PlanMethod> ReadMethod(const flatbuffers::String& text) {
  for (int i = 0; i < kPlanMethods; ++i) {
    const auto method = static_cast<PlanMethod>(i);
    if (absl::string_view(text.data(), text.size()) == PlanMethodName(method)) return method;
  }
  return Malformed("the method is not prefill, decode or score");
}

absl::StatusOr<ActivationPrecision> ReadActivations(const plan::Plan& root,
                                                    const std::vector<PlanCache>& caches) {
  if (root.activations() == plan::ActivationPrecision::UNSTATED) return PrecisionOf(caches);
  const auto precision = static_cast<uint8_t>(root.activations());
  if (precision > static_cast<uint8_t>(plan::ActivationPrecision::MAX))
    return Malformed(
        absl::StrCat("the precision of activations is ", precision, " (known are 0 to 2)"));
  return static_cast<ActivationPrecision>(precision);
}

// Verifies the bytes. The result points into `bytes`.
absl::StatusOr<const plan::Plan*> Verify(std::span<const uint8_t> bytes) {
  // The identifier and the root's offset must be there before either is looked at.
  if (bytes.size() < 16 || !plan::PlanBufferHasIdentifier(bytes.data())) {
    return Malformed(absl::StrCat("the payload of ", bytes.size(), " bytes is not a plan (no ",
                                  plan::PlanIdentifier(), " at byte 4)"));
  }
  // Tables: the plan, its entries, and an operation for every step;
  // nesting is plan > step > operation.
  constexpr size_t kMaxTables =
      1 + PlanLimits::kWeights + PlanLimits::kCaches + PlanLimits::kValues + 2 * PlanLimits::kSteps;
  flatbuffers::Verifier verifier(bytes.data(), bytes.size(), /*max_depth=*/8, kMaxTables);
  if (!plan::VerifyPlanBuffer(verifier)) {
    return Malformed(
        absl::StrCat("the payload of ", bytes.size(), " bytes is truncated or corrupt"));
  }
  return plan::GetPlan(bytes.data());
}

}  // namespace

absl::StatusOr<Plan> ReadPlan(std::span<const std::byte> payload) {
  if (payload.size() > PlanLimits::kPayloadBytes) {
    return Malformed(absl::StrCat("a payload of ", payload.size(), " bytes is larger than ",
                                  PlanLimits::kPayloadBytes));
  }
  const std::vector<uint64_t> copy = AlignedCopy(payload);
  GEMMA_ASSIGN_OR_RETURN(const plan::Plan* root,
                         Verify({reinterpret_cast<const uint8_t*>(copy.data()), payload.size()}));
  if (root->version() != 1) {
    return Malformed(
        absl::StrCat("version ", root->version(), " is not 1 (export the model again)"));
  }
  Plan plan;
  GEMMA_ASSIGN_OR_RETURN(plan.model, ReadName(root->model(), "model", 0));
  GEMMA_ASSIGN_OR_RETURN(plan.method, ReadMethod(*root->method()));
  plan.vocab_size = root->vocab_size();
  plan.max_tokens = root->max_tokens();
  plan.max_context = root->max_context();
  GEMMA_RETURN_IF_ERROR(
      ReadTable(*root->weights(), PlanLimits::kWeights, "weights", ReadWeight, plan.weights));
  GEMMA_RETURN_IF_ERROR(
      ReadTable(*root->caches(), PlanLimits::kCaches, "caches", ReadCache, plan.caches));
  GEMMA_ASSIGN_OR_RETURN(plan.activations, ReadActivations(*root, plan.caches));
  GEMMA_RETURN_IF_ERROR(
      ReadTable(*root->values(), PlanLimits::kValues, "values", ReadValue, plan.values));
  GEMMA_RETURN_IF_ERROR(
      ReadTable(*root->steps(), PlanLimits::kSteps, "steps", ReadStep, plan.steps));
  return plan;
}

}  // namespace gemma
